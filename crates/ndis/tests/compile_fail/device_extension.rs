// error[E0599]: the device object is not handed out, so NDIS's part of its extension cannot be touched.
// says: no method named `device_extension` found for reference `&Driver<M>`

use ndis::driver::Driver;
use ndis::filter::FilterModule;

pub fn extension<M: FilterModule>(driver: &Driver<M>) -> *mut u8 {
    driver.device_extension()
}
