// error: a request stays with its callback: what waits is kept by `pend`.
// says: lifetime may not live long enough
// says: assignment requires that `'c` must outlive `'static`

use ndis::oid::{OidRequest, Regular};

pub struct Module<'c> {
    pub kept: Option<OidRequest<'c, Regular>>,
}

pub fn keep<'c>(module: &mut Module<'static>, request: OidRequest<'c, Regular>) {
    module.kept = Some(request);
}
