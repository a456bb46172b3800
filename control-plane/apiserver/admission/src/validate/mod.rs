//! What configuration objects may say. (`pkg/apis/admissionregistration/validation`)
