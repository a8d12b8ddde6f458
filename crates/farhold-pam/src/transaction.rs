//! One conversation with PAM, from start to end.
#![expect(unsafe_code, reason = "functions of the C library are called")]

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;

use crate::conversation::{Script, converse};
use crate::error::{PamError, Step};
use crate::library::{Conversation, FailDelay, Handle, ITEM_FAIL_DELAY, ITEM_REMOTE_HOST, Library, SUCCESS};

/// A transaction; ends when it is dropped.
pub struct Transaction<'l> {
    library: &'l Library,
    /// Valid until the end.
    handle: *mut Handle,
    /// What `pam_end` is told.
    last_code: c_int,
    /// Made by `Box::into_raw`; the library uses it during its calls only. A reference is made after them.
    script: *mut Script,
}

impl<'l> Transaction<'l> {
    /// Begins a transaction about the user of `script`.
    ///
    /// # Errors
    /// PAM refuses, or is too old to be told a folder.
    pub fn start(
        library: &'l Library,
        service: &CStr,
        folder: Option<&CStr>,
        script: Script,
    ) -> Result<Self, PamError> {
        let name = script.name().to_owned();
        let script = Box::into_raw(Box::new(script));
        // From here on `drop` frees the script.
        let mut transaction = Self { library, handle: ptr::null_mut(), last_code: SUCCESS, script };
        let conversation = Conversation { converse, data: script.cast() };
        let code = match folder {
            // SAFETY: all texts end with a null byte, and the library copies them and the conversation. The script that
            // the conversation points to lives until after `pam_end`.
            None => unsafe {
                (library.start)(service.as_ptr(), name.as_ptr(), &raw const conversation, &raw mut transaction.handle)
            },
            Some(folder) => {
                let start = library.start_in_folder.ok_or(PamError::NoFunction { name: "pam_start_confdir" })?;
                let folder = folder.as_ptr();
                // SAFETY: as above.
                unsafe {
                    let handle = &raw mut transaction.handle;
                    start(service.as_ptr(), name.as_ptr(), &raw const conversation, folder, handle)
                }
            }
        };
        if code != SUCCESS {
            // What a failed start leaves there is not to be ended.
            transaction.handle = ptr::null_mut();
        }
        transaction.ended(Step::Start, code)?;
        transaction.skip_delays();
        Ok(transaction)
    }

    /// Says where the caller is.
    ///
    /// # Errors
    /// PAM refuses.
    pub fn set_remote_host(&mut self, address: &CStr) -> Result<(), PamError> {
        // SAFETY: the handle is valid, and the library copies the text.
        let code = unsafe { (self.library.set_item)(self.handle, ITEM_REMOTE_HOST, address.as_ptr().cast()) };
        self.ended(Step::RemoteHost, code)
    }

    /// Checks the password.
    ///
    /// # Errors
    /// PAM refuses.
    pub fn authenticate(&mut self) -> Result<(), PamError> {
        // SAFETY: the handle is valid. During the call nobody else uses the script.
        let code = unsafe { (self.library.authenticate)(self.handle, 0) };
        self.ended(Step::Authenticate, code)
    }

    /// Sets the password.
    ///
    /// # Errors
    /// PAM refuses.
    pub fn change_password(&mut self) -> Result<(), PamError> {
        // SAFETY: as for `authenticate`.
        let code = unsafe { (self.library.change_password)(self.handle, 0) };
        self.ended(Step::ChangePassword, code)
    }

    /// Keeps the library from sleeping after a refusal: the server delays its answers itself, and a thread that sleeps
    /// would hold the place of somebody who waits to be checked. An old library that cannot is fine too.
    fn skip_delays(&mut self) {
        let no_delay: FailDelay = no_delay;
        // SAFETY: the handle is valid, and the item is a pointer to a function of this type.
        self.last_code = unsafe { (self.library.set_item)(self.handle, ITEM_FAIL_DELAY, no_delay as *const c_void) };
    }

    fn ended(&mut self, step: Step, code: c_int) -> Result<(), PamError> {
        self.last_code = code;
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: the handle has not ended.
        let reason = unsafe { self.library.explain(self.handle, code) };
        // SAFETY: it is valid until drop, and the call that used it is over.
        let said = unsafe { &mut *self.script }.take_said();
        Err(PamError::Refused { step, code, reason, said })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is valid and not used again.
            unsafe { (self.library.end)(self.handle, self.last_code) };
        }
        // SAFETY: it came from `Box::into_raw`, and the library does not know it any more.
        drop(unsafe { Box::from_raw(self.script) });
    }
}

/// Called in place of a delay.
extern "C" fn no_delay(_code: c_int, _microseconds: c_uint, _data: *mut c_void) {}
