//! A call that is to fail, as the command line names it.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// A call of an import, told by the driver's stack: `ExAllocatePool2@1a2b.3c4d`; or of every stack: `ExAllocatePool2`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Site {
    /// The import.
    pub import: String,
    /// Offsets of the return addresses in the image, innermost first; none for every stack.
    pub stack: Vec<u32>,
}

impl Site {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || "expected IMPORT or IMPORT@STACK, such as ExAllocatePool2@1a2b.3c4d".to_owned();
        let (import, stack) = match text.split_once('@') {
            Some((import, stack)) => (import, Some(stack)),
            None => (text, None),
        };
        let offsets = stack.into_iter().flat_map(|stack| stack.split('.'));
        let stack: Result<Vec<u32>, _> = offsets
            .map(|offset| u32::from_str_radix(offset, 16))
            .collect();
        match stack {
            Ok(stack) if !import.is_empty() => Ok(Self {
                import: import.to_owned(),
                stack,
            }),
            _ => Err(expected()),
        }
    }

    /// The same for the kernel.
    pub(crate) fn call_site(&self) -> lab_kernel::CallSite {
        lab_kernel::CallSite {
            import: self.import.clone(),
            stack: self.stack.clone(),
        }
    }
}

impl From<&lab_kernel::CallSite> for Site {
    fn from(site: &lab_kernel::CallSite) -> Self {
        Self {
            import: site.import.clone(),
            stack: site.stack.clone(),
        }
    }
}

impl Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.import)?;
        for (index, offset) in self.stack.iter().enumerate() {
            let mark = if index == 0 { '@' } else { '.' };
            write!(f, "{mark}{offset:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Site;

    #[test]
    fn what_is_shown_is_read_again() {
        let site = Site {
            import: "ExAllocatePool2".to_owned(),
            stack: vec![0x1a2b, 0, u32::MAX],
        };
        assert_eq!(site.to_string(), "ExAllocatePool2@1a2b.0.ffffffff");
        assert_eq!(Site::parse(&site.to_string()), Ok(site));
        let every = Site::parse("A").expect("a name");
        assert_eq!((every.to_string().as_str(), every.stack.len()), ("A", 0));
        for text in ["", "@", "A@", "@1", "A@1..2", "A@x", "A@100000000"] {
            assert!(Site::parse(text).is_err(), "{text}");
        }
    }
}
