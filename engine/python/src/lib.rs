//! The engine for Python: `audience_engine`. `audience.engine` is its one caller and says what each call means.

mod convert;
mod host;

use std::collections::{BTreeSet, HashSet};
use std::panic::{catch_unwind, AssertUnwindSafe};

use audience_engine_core::evaluate::{self, Change, History};
use audience_engine_core::event::Event;
use audience_engine_core::explain;
use audience_engine_core::ids::hash_of;
use audience_engine_core::program::Program;
use audience_engine_core::spec::{ComputedSpec, SegmentSpec};
use audience_engine_core::state::State;
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::convert::{fields_to_python, from_python, to_python};
use crate::host::PythonHost;

/// States are many small allocations that live for one event.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

create_exception!(audience_engine, StateVersionUnknown, PyValueError, "A state's bytes are of another version.");
create_exception!(audience_engine, EngineError, PyRuntimeError, "The engine failed on an input; the state is spoilt.");

/// Runs the engine. Should it fail on something, that is an exception like any other and not the end of the process.
fn guarded<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|reason| {
        let text = reason.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| reason.downcast_ref::<&str>().copied());
        EngineError::new_err(text.unwrap_or("unknown reason").to_owned())
    })
}

#[pyclass(name = "Event", frozen, module = "audience_engine")]
struct PyEvent(Event);

#[pymethods]
impl PyEvent {
    /// Reads a record of the log; None where it is of another kind than an event. Its offset and a space may stand
    /// before it.
    #[staticmethod]
    fn parse(data: &[u8]) -> PyResult<Option<PyEvent>> {
        let event = Event::parse_logged(data).map_err(|malformed| PyValueError::new_err(malformed.0))?;
        Ok(event.map(PyEvent))
    }

    /// An event that was decoded elsewhere: anything with the attributes of `audience.events.model.Event`.
    #[staticmethod]
    #[pyo3(signature = (decoded, offset=None))]
    fn of(decoded: &Bound<'_, PyAny>, offset: Option<i64>) -> PyResult<PyEvent> {
        let text = |name: &str| -> PyResult<Box<str>> { Ok(decoded.getattr(name)?.extract::<String>()?.into()) };
        let value = |name: &str| from_python(&decoded.getattr(name)?);
        let mut event = Event::blank();
        event.workspace = text("workspace")?;
        event.profile_id = text("profile_id")?;
        event.source = text("source")?;
        event.message_id = text("message_id")?;
        event.kind = text("type")?;
        event.name = text("name")?;
        event.time_ms = decoded.getattr("time_ms")?.extract()?;
        event.received_ms = decoded.getattr("received_ms")?.extract()?;
        event.offset = offset;
        event.properties = value("properties")?;
        event.traits = value("traits")?;
        event.set_context(value("context")?);
        Ok(PyEvent(event))
    }

    #[getter]
    fn workspace(&self) -> &str {
        &self.0.workspace
    }

    #[getter]
    fn profile_id(&self) -> &str {
        &self.0.profile_id
    }

    #[getter]
    fn received_ms(&self) -> i64 {
        self.0.received_ms
    }
}

#[pyclass(name = "Change", frozen, eq, get_all, skip_from_py_object, module = "audience_engine")]
#[derive(Clone, PartialEq)]
struct PyChange {
    segment: String,
    entered: bool,
    at_ms: i64,
    version: i64,
}

#[pymethods]
impl PyChange {
    fn __repr__(&self) -> String {
        let PyChange { segment, entered, at_ms, version } = self;
        format!(
            "Change({segment:?}, entered={}, at_ms={at_ms}, version={version})",
            if *entered { "True" } else { "False" }
        )
    }
}

impl From<Change> for PyChange {
    fn from(change: Change) -> Self {
        PyChange {
            segment: change.segment.to_string(),
            entered: change.entered,
            at_ms: change.at_ms,
            version: change.version,
        }
    }
}

#[pyclass(name = "Outcome", frozen, get_all, module = "audience_engine")]
struct PyOutcome {
    changes: Vec<PyChange>,
    visible: bool,
    duplicate: bool,
    leaves: u64,
    evaluations: u64,
}

impl From<evaluate::Outcome> for PyOutcome {
    fn from(outcome: evaluate::Outcome) -> Self {
        PyOutcome {
            changes: outcome.changes.into_iter().map(PyChange::from).collect(),
            visible: outcome.visible,
            duplicate: outcome.duplicate,
            leaves: outcome.leaves,
            evaluations: outcome.evaluations,
        }
    }
}

#[pyclass(name = "ProfileState", module = "audience_engine")]
struct PyState(State);

#[pymethods]
impl PyState {
    #[new]
    fn new(profile_id: &str) -> PyState {
        PyState(State::new(profile_id))
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<PyState> {
        match guarded(|| State::decode(data.to_vec()))? {
            Ok(state) => Ok(PyState(state)),
            Err(unknown) => Err(StateVersionUnknown::new_err(unknown.to_string())),
        }
    }

    fn encode<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = &mut self.0;
        Ok(PyBytes::new(py, guarded(|| state.encode())?))
    }

    #[getter]
    fn profile_id(&self) -> &str {
        &self.0.profile_id
    }

    #[getter]
    fn created_ms(&self) -> i64 {
        self.0.created_ms
    }

    #[getter]
    fn updated_ms(&self) -> i64 {
        self.0.updated_ms
    }

    #[getter]
    fn now_ms(&self) -> i64 {
        self.0.now_ms
    }

    #[getter]
    fn heard_ms(&self) -> i64 {
        self.0.heard_ms
    }

    #[getter]
    fn events(&self) -> u64 {
        self.0.events
    }

    #[getter]
    fn revision(&self) -> i64 {
        self.0.revision
    }

    #[getter]
    fn version(&self) -> u64 {
        self.0.version
    }

    #[setter]
    fn set_version(&mut self, version: u64) {
        self.0.version = version;
    }

    #[getter]
    fn armed_ms(&self) -> i64 {
        self.0.armed_ms
    }

    #[setter]
    fn set_armed_ms(&mut self, at_ms: i64) {
        self.0.armed_ms = at_ms;
    }

    #[getter]
    fn due_ms(&self) -> Option<i64> {
        self.0.due_ms()
    }

    #[getter]
    fn lists(&self) -> HashSet<&str> {
        self.0.lists.iter().map(|list| &**list).collect()
    }

    #[getter]
    fn traits<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        fields_to_python(py, self.0.traits().iter())
    }

    #[getter]
    fn computed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        fields_to_python(py, self.0.computed.iter())
    }

    #[getter]
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (_, key, since_ms) in self.0.segments() {
            found.set_item(key, since_ms)?;
        }
        Ok(found)
    }

    fn forget(&mut self, now_ms: i64) {
        self.0.forget(now_ms);
    }

    fn __contains__(&self, segment: &str) -> bool {
        self.0.is_in(hash_of(&[segment]))
    }

    fn enter(&mut self, segment: &str) {
        self.0.enter(hash_of(&[segment]), &segment.into());
    }

    #[getter]
    fn remembered_ids(&self) -> usize {
        self.0.ids.count()
    }

    #[getter]
    fn trail_bytes(&self) -> usize {
        self.0.trail_bytes()
    }
}

#[pyclass(name = "Program", module = "audience_engine")]
struct PyProgram(Program);

#[pymethods]
impl PyProgram {
    #[new]
    fn new(regex: Py<PyAny>, date_ms: Py<PyAny>) -> PyProgram {
        PyProgram(Program::new(Box::new(PythonHost { regex, date_ms })))
    }

    fn put(&mut self, definition: &[u8]) -> PyResult<bool> {
        let spec = SegmentSpec::parse(definition).map_err(|invalid| PyValueError::new_err(invalid.0))?;
        let program = &mut self.0;
        guarded(|| program.put(&spec))?.map_err(|invalid| PyValueError::new_err(invalid.0))
    }

    fn remove(&mut self, key: &str, revision: i64) -> PyResult<bool> {
        let program = &mut self.0;
        guarded(|| program.remove(key, revision))
    }

    fn put_computed_trait(&mut self, definition: &[u8]) -> PyResult<()> {
        let spec = ComputedSpec::parse(definition).map_err(|invalid| PyValueError::new_err(invalid.0))?;
        let program = &mut self.0;
        guarded(|| program.put_computed_trait(&spec))?.map_err(|invalid| PyValueError::new_err(invalid.0))
    }

    fn remove_computed_trait(&mut self, key: &str, revision: i64) -> PyResult<()> {
        let program = &mut self.0;
        guarded(|| program.remove_computed_trait(key, revision))
    }

    #[getter]
    fn revision(&self) -> i64 {
        self.0.revision
    }

    #[getter]
    fn trails(&self) -> HashSet<u64> {
        self.0.trail_of.keys().copied().collect()
    }

    #[getter]
    fn series(&self) -> HashSet<u64> {
        self.0.series_of.keys().copied().collect()
    }

    #[getter]
    fn leaves(&self) -> HashSet<u64> {
        self.0.leaf_of.keys().copied().collect()
    }

    #[getter]
    fn sequences(&self) -> HashSet<u64> {
        self.0.sequence_of.keys().copied().collect()
    }

    fn joined(&mut self, event: &PyEvent) -> PyResult<HashSet<u64>> {
        let program = &mut self.0;
        guarded(|| {
            let matcher = program.matcher(&event.0.kind, &event.0.name);
            let trails = matcher.trails_of(&*program.host, &event.0);
            trails.into_iter().map(|trail| program.trails[trail].id).collect()
        })
    }

    /// The numbers of the backfills that are outstanding.
    #[getter]
    fn backfills(&self) -> Vec<i64> {
        self.0.backfills.keys().copied().collect()
    }

    fn nodes<'py>(&self, py: Python<'py>, segment: &str, state: &mut PyState) -> PyResult<Bound<'py, PyList>> {
        let program = &self.0;
        let place = program.by_hash.get(&hash_of(&[segment])).ok_or_else(|| PyKeyError::new_err(segment.to_owned()))?;
        let found = guarded(|| explain::nodes(program, &mut state.0, &program.segments[*place].cond))?;
        let shown = PyList::empty(py);
        for (truth, value) in found {
            let value = value.map(|value| to_python(py, &value)).transpose()?;
            shown.append((truth, value))?;
        }
        Ok(shown)
    }
}

#[pyfunction]
fn on_event(program: &mut PyProgram, state: &mut PyState, event: &PyEvent, now_ms: i64) -> PyResult<PyOutcome> {
    guarded(|| evaluate::on_event(&mut program.0, &mut state.0, &event.0, now_ms).into())
}

#[pyfunction]
fn on_time(program: &mut PyProgram, state: &mut PyState, now_ms: i64) -> PyResult<PyOutcome> {
    guarded(|| evaluate::on_time(&mut program.0, &mut state.0, now_ms).into())
}

#[pyfunction]
fn on_history(
    program: &mut PyProgram,
    state: &mut PyState,
    backfills: Vec<i64>,
    cut: i64,
    events: Vec<(i64, PyBackedBytes)>,
    last: bool,
    now_ms: i64,
) -> PyResult<PyOutcome> {
    let mut read = Vec::with_capacity(events.len());
    for (offset, data) in &events {
        let event = Event::parse(data).map_err(|malformed| PyValueError::new_err(malformed.0))?;
        let mut event = event.ok_or_else(|| PyValueError::new_err("a part of a history is no event"))?;
        event.offset = Some(*offset);
        read.push(event);
    }
    let history = History { backfills: &backfills, cut, events: &read, last };
    guarded(|| evaluate::on_history(&mut program.0, &mut state.0, &history, now_ms).into())
}

#[pyfunction]
fn on_lists(program: &mut PyProgram, state: &mut PyState, lists: HashSet<String>, now_ms: i64) -> PyResult<PyOutcome> {
    let lists: BTreeSet<Box<str>> = lists.into_iter().map(String::into_boxed_str).collect();
    guarded(|| evaluate::on_lists(&mut program.0, &mut state.0, lists, now_ms).into())
}

#[pymodule]
fn audience_engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyEvent>()?;
    module.add_class::<PyChange>()?;
    module.add_class::<PyOutcome>()?;
    module.add_class::<PyState>()?;
    module.add_class::<PyProgram>()?;
    module.add_function(wrap_pyfunction!(on_event, module)?)?;
    module.add_function(wrap_pyfunction!(on_time, module)?)?;
    module.add_function(wrap_pyfunction!(on_history, module)?)?;
    module.add_function(wrap_pyfunction!(on_lists, module)?)?;
    module.add("StateVersionUnknown", module.py().get_type::<StateVersionUnknown>())?;
    module.add("EngineError", module.py().get_type::<EngineError>())?;
    Ok(())
}
