//! Registry values for the driver.

use lab_kernel::ParameterValue;

/// A registry value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// All of `NAME=VALUE`.
    pub text: String,
    /// The name.
    pub name: String,
    /// The value: `REG_DWORD` if it is a number, else `REG_SZ`.
    pub value: ParameterValue,
}

impl Setting {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| "expected NAME=VALUE".to_owned())?;
        let (digits, radix) = match value.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (value, 10),
        };
        let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        let value = if is_number {
            let number = u32::from_str_radix(digits, radix)
                .map_err(|_| format!("{value} does not fit a REG_DWORD (0 to 4294967295)"))?;
            ParameterValue::Integer(number)
        } else {
            ParameterValue::String(value.to_owned())
        };
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            value,
        })
    }
}

/// Names and values, as the kernel wants them.
pub(crate) fn values(settings: &[Setting]) -> Vec<(String, ParameterValue)> {
    let value = |setting: &Setting| (setting.name.clone(), setting.value.clone());
    settings.iter().map(value).collect()
}
