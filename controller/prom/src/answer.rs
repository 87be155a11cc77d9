//! The answer of `/api/v1/query`, read with suspicion: whatever is not exactly one finite number is `Unknown`.

use primetime_core::Instant;
use primetime_core::signal::{Sample, Why};
use serde::Deserialize;

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// Reads an answer that arrived at `now`.
#[must_use]
pub fn read(body: &[u8], now: Instant) -> Sample {
    match number(body) {
        Ok(value) => Sample::Known { value, at: now },
        Err(why) => Sample::Unknown(why),
    }
}

fn number(body: &[u8]) -> Result<f64, Why> {
    let short = |text: String| text.chars().take(200).collect::<String>();
    let body: Body =
        serde_json::from_slice(body).map_err(|e| Why::Malformed(short(e.to_string())))?;
    if body.status != "success" {
        return Err(Why::NoAnswer(short(body.error.unwrap_or(body.status))));
    }
    let value = match body.data.ok_or_else(|| Why::Malformed("no data".to_owned()))? {
        Data::Scalar((_, value)) => value,
        Data::Vector(series) => {
            let count = series.len();
            match series.into_iter().next() {
                None => return Err(Why::Empty),
                Some(_) if count > 1 => return Err(Why::ManySeries(count)),
                Some(one) => one.value.1,
            }
        }
        Data::Matrix(_) => {
            return Err(Why::Malformed("a range vector; ask for an instant".to_owned()));
        }
        Data::String(_) => return Err(Why::Malformed("a string".to_owned())),
    };
    let value: f64 = value.parse().map_err(|_| Why::NotANumber)?;
    if value.is_finite() { Ok(value) } else { Err(Why::NotANumber) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(body: &str) -> &'static str {
        match read(body.as_bytes(), chrono::DateTime::UNIX_EPOCH) {
            Sample::Known { value, .. } => panic!("{value} was believed: {body}"),
            Sample::Unknown(why) => why.reason(),
        }
    }

    fn vector(result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
    }

    fn series(value: &str) -> String {
        format!(r#"{{"metric":{{}},"value":[1389556800.1,"{value}"]}}"#)
    }

    #[test]
    fn one_finite_number_is_known() {
        let known = |body: String| match read(body.as_bytes(), chrono::DateTime::UNIX_EPOCH) {
            Sample::Known { value, .. } => value,
            Sample::Unknown(why) => panic!("{why}"),
        };
        assert!((known(vector(&series("42400"))) - 42_400.0).abs() < f64::EPSILON);
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"3.5"]}}"#;
        assert!((known(scalar.to_owned()) - 3.5).abs() < f64::EPSILON);
    }

    #[test]
    fn everything_else_is_unknown() {
        assert_eq!(why(&vector("")), "Empty");
        assert_eq!(why(&vector(&series("NaN"))), "NotANumber");
        assert_eq!(why(&vector(&series("+Inf"))), "NotANumber");
        assert_eq!(why(&vector(&series(""))), "NotANumber");
        assert_eq!(why(&vector(&format!("{},{}", series("1"), series("2")))), "ManySeries");
        assert_eq!(
            why(r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#),
            "NoAnswer"
        );
        assert_eq!(why(r#"{"status":"success"}"#), "Malformed");
        assert_eq!(why("<html>login</html>"), "Malformed");
        assert_eq!(why(""), "Malformed");
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert_eq!(why(matrix), "Malformed");
    }
}
