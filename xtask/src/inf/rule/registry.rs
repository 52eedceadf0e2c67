//! Where the package writes in the registry.

use super::{Finding, Rule, Subject, package::each};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "inf-only-hkr",
        page: "develop/driver-isolation.md; devtest/infverif_h.md",
        check: roots,
    },
    Rule {
        name: "inf-service-params",
        page: "network/configuring-an-inf-file-for-a-modifying-filter-driver.md; devtest/inf-validation-errors-and-warnings.md, 1323",
        check: service_parameters,
    },
    Rule {
        name: "inf-team-binding",
        page: "Windows-driver-samples network/ndis/filter/netlwf.inf",
        check: team_binding,
    },
];

fn roots(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let services = install.services.iter();
        let mut values = install
            .registry
            .iter()
            .chain(services.flat_map(|service| &service.registry));
        let value = values.find(|value| !value.root.eq_ignore_ascii_case("HKR"))?;
        Some((value.line, format!("{} is not HKR", value.root)))
    })
}

fn service_parameters(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let mut values = install
            .services
            .iter()
            .flat_map(|service| &service.registry);
        let value = values.find(|value| {
            let first = value.key.split('\\').next().unwrap_or("");
            value.root.eq_ignore_ascii_case("HKR") && !first.eq_ignore_ascii_case("Parameters")
        })?;
        let what = format!(
            "\"{}\" of the service's key is not below Parameters",
            value.key
        );
        Some((value.line, what))
    })
}

fn team_binding(subject: &Subject<'_>) -> Vec<Finding> {
    each(subject, |install| {
        let mut values = install
            .services
            .iter()
            .flat_map(|service| &service.registry);
        let option = values.find(|value| value.is("Parameters", "NdisImPlatformBindingOptions"))?;
        (!matches!(option.dword(), Some(0..=3))).then(|| {
            let what = "NdisImPlatformBindingOptions has to be a DWORD from 0 to 3";
            (option.line, what.to_owned())
        })
    })
}
