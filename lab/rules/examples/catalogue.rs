//! Prints every rule as a line of fields between tabs: identifier, severity, strength, whether a
//! monitor watches it, page, statement. `cargo xtask rules` reads it.

use std::collections::BTreeSet;

use lab_rules::{Monitors, catalogue};

fn main() {
    let watched: BTreeSet<&str> = Monitors::default()
        .rules()
        .iter()
        .map(|rule| rule.id)
        .collect();
    for rule in catalogue() {
        let is_watched = if watched.contains(rule.id) {
            "monitor"
        } else {
            "-"
        };
        println!(
            "{}\t{}\t{}\t{is_watched}\t{}\t{}",
            rule.id, rule.severity, rule.strength, rule.page, rule.statement
        );
    }
}
