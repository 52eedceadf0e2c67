//! Workflow files: actions pinned by hash, least permissions.

/// Lists what is wrong with a workflow's text.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((_, action)) = line.split_once("uses:") else {
            continue;
        };
        let action = action.trim();
        let pin = action.split_once('@').map_or("", |(_, pin)| pin);
        let (hash, comment) = pin.split_once(' ').unwrap_or((pin, ""));
        let is_hash = hash.len() == 40 && hash.chars().all(|digit| digit.is_ascii_hexdigit());
        if !is_hash || !comment.trim().starts_with("# v") {
            wrong.push(format!(
                "{path}:{}: {action} is not pinned by hash, with its version behind it",
                index + 1
            ));
        }
    }
    if !text.contains("\npermissions:\n  contents: read\n") {
        wrong.push(format!("{path}: does not begin with reading only"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_tag_is_no_pin_and_silence_no_permission() {
        let hash = "d23441a48e516b6c34aea4fa41551a30e30af803";
        let good = format!("\npermissions:\n  contents: read\n  - uses: a/b@{hash} # v1.2\n");
        assert!(check("x", &good).is_empty());
        assert_eq!(check("x", &good.replace(hash, "v1")).len(), 1);
        assert_eq!(check("x", &good.replace("read", "write")).len(), 1);
    }
}
