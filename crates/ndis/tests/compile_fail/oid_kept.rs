// error: a request stays with its callback: what waits is kept by `pend`.

use ndis::oid::{OidRequest, Regular};

pub struct Module<'c> {
    pub kept: Option<OidRequest<'c, Regular>>,
}

pub fn keep<'c>(module: &mut Module<'static>, request: OidRequest<'c, Regular>) {
    module.kept = Some(request);
}
