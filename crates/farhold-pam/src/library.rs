//! The C interface of Linux-PAM, looked up in the library at run time.
//!
//! Signatures and numbers are those of its manual pages `pam_start(3)`, `pam_authenticate(3)`, `pam_chauthtok(3)`,
//! `pam_set_item(3)`, `pam_end(3)`, `pam_strerror(3)` and `pam_conv(3)`.
#![expect(unsafe_code, reason = "functions of a C library are looked up by name")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use crate::error::PamError;

/// Everything went well.
pub const SUCCESS: c_int = 0;
/// No memory.
pub const BUFFER_ERROR: c_int = 5;
/// The conversation failed.
pub const CONVERSATION_ERROR: c_int = 19;

/// Item: where the caller is.
pub const ITEM_REMOTE_HOST: c_int = 4;
/// Item: the function that delays a refusal.
pub const ITEM_FAIL_DELAY: c_int = 10;

/// One message of a module.
#[repr(C)]
pub struct Message {
    pub style: c_int,
    pub text: *const c_char,
}

/// The answer to one message; `text` belongs to whoever asked.
#[repr(C)]
pub struct Response {
    pub text: *mut c_char,
    pub code: c_int,
}

/// Answers messages.
pub type Converse = unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

/// What answers messages, and what it is given.
#[repr(C)]
pub struct Conversation {
    pub converse: Converse,
    pub data: *mut c_void,
}

/// A transaction of the library.
#[repr(C)]
pub struct Handle {
    _private: [u8; 0],
}

/// Delays a refusal.
pub type FailDelay = unsafe extern "C" fn(c_int, c_uint, *mut c_void);

type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut Handle) -> c_int;
type StartInFolder =
    unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *const c_char, *mut *mut Handle) -> c_int;
type End = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type Act = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type SetItem = unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int;
type Explain = unsafe extern "C" fn(*mut Handle, c_int) -> *const c_char;

/// The functions that are used.
pub struct Library {
    pub start: Start,
    /// Since version 1.4 of the library.
    pub start_in_folder: Option<StartInFolder>,
    pub end: End,
    pub authenticate: Act,
    pub change_password: Act,
    pub set_item: SetItem,
    explain: Explain,
    /// Keeps the functions in memory.
    _library: libloading::Library,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// Opens the library.
    ///
    /// # Errors
    /// There is none of this name, or it lacks a function.
    pub fn open(name: &str) -> Result<Self, PamError> {
        // SAFETY: the host's own PAM library has no initialisation beyond what every program that logs users in relies on.
        let library = unsafe { libloading::Library::new(name) }
            .map_err(|source| PamError::NoLibrary { name: name.to_owned(), source })?;
        // SAFETY: the types are the signatures of the manual pages, and the library stays open as long as the copies.
        unsafe {
            Ok(Self {
                start: function(&library, "pam_start")?,
                start_in_folder: function(&library, "pam_start_confdir").ok(),
                end: function(&library, "pam_end")?,
                authenticate: function(&library, "pam_authenticate")?,
                change_password: function(&library, "pam_chauthtok")?,
                set_item: function(&library, "pam_set_item")?,
                explain: function(&library, "pam_strerror")?,
                _library: library,
            })
        }
    }

    /// Returns the library's words for a code.
    ///
    /// # Safety
    /// `handle` is one of this library that has not ended, or null.
    pub unsafe fn explain(&self, handle: *mut Handle, code: c_int) -> String {
        // SAFETY: the function takes any code; this library ignores the handle.
        let text = unsafe { (self.explain)(handle, code) };
        if text.is_null() {
            return "unknown error".to_owned();
        }
        // SAFETY: it is a constant text that ends with a null byte.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// Returns the function of this name.
///
/// # Safety
/// `F` is the type of a pointer to this function.
unsafe fn function<F: Copy>(library: &libloading::Library, name: &'static str) -> Result<F, PamError> {
    // SAFETY: promised by the caller.
    let symbol = unsafe { library.get::<F>(name.as_bytes()) };
    symbol.map(|found| *found).map_err(|_| PamError::NoFunction { name })
}
