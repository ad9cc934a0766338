//! What the engine asks of Python: RE2, and the reading of dates.

use std::sync::Arc;

use audience_engine_core::predicates::{Host, Regex};
use audience_engine_core::value::Malformed;
use pyo3::prelude::*;

pub struct PythonHost {
    /// Compiles a pattern to something with `search`.
    pub regex: Py<PyAny>,
    /// Unix milliseconds of a date; None where a text is none.
    pub date_ms: Py<PyAny>,
}

impl Host for PythonHost {
    fn regex(&self, pattern: &str) -> Result<Regex, Malformed> {
        Python::attach(|py| {
            let compiled = self.regex.bind(py).call1((pattern,)).and_then(|regex| regex.getattr("search"));
            let search = compiled.map_err(|error| Malformed(error.to_string()))?.unbind();
            let found: Regex = Arc::new(move |text| {
                Python::attach(|py| !search.bind(py).call1((text,)).expect("a compiled pattern searches").is_none())
            });
            Ok(found)
        })
    }

    fn date_ms(&self, text: &str) -> Option<i64> {
        Python::attach(|py| {
            let found = self.date_ms.bind(py).call1((text,)).expect("every text can be read as a date, or not");
            found.extract().expect("a date is a whole number of milliseconds")
        })
    }
}
