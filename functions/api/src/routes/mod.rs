//! One module per resource.

pub(crate) mod alert;
pub(crate) mod api_key;
pub(crate) mod charge;
pub(crate) mod customer;
pub(crate) mod docs;
pub(crate) mod entitlement;
pub(crate) mod feature;
pub(crate) mod invoice;
pub(crate) mod meter;
pub(crate) mod organization;
pub(crate) mod plan;
pub(crate) mod session;
pub(crate) mod subscription;
pub(crate) mod test_clock;
pub(crate) mod usage;
