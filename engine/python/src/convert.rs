//! JSON values as Python has them.

use audience_engine_core::value::Value;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use pyo3::IntoPyObjectExt;

pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Int(number) => number.into_bound_py_any(py),
        Value::Big(digits) => py.get_type::<pyo3::types::PyInt>().call1((&**digits,)),
        Value::Float(number) => number.into_bound_py_any(py),
        Value::Text(text) => (&**text).into_bound_py_any(py),
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            Ok(list.into_any())
        }
        Value::Map(fields) => Ok(fields_to_python(py, fields.iter().map(|(name, value)| (name, value)))?.into_any()),
    }
}

pub fn fields_to_python<'a, 'py>(
    py: Python<'py>,
    fields: impl Iterator<Item = (&'a Box<str>, &'a Value)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in fields {
        dict.set_item(&**name, to_python(py, value)?)?;
    }
    Ok(dict)
}

pub fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_none() {
        return Ok(Value::Null);
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Bool(value.extract()?));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(match value.extract::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Big(value.str()?.extract::<String>()?.into()),
        });
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::Text(text.extract::<String>()?.into()));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return Ok(Value::List(value.try_iter()?.map(|item| from_python(&item?)).collect::<PyResult<_>>()?));
    }
    if let Ok(fields) = value.cast::<PyDict>() {
        let pairs = fields.iter().map(|(name, value)| Ok((name.extract::<String>()?.into(), from_python(&value)?)));
        return Ok(Value::Map(pairs.collect::<PyResult<_>>()?));
    }
    Err(PyTypeError::new_err(format!("{} is no JSON value", value.get_type())))
}
