//! Parser for answers of `/api/v1/query`. The parser returns `Unknown` for every answer other than
//! a single finite number.

use std::collections::BTreeMap;

use primetime_core::Instant;
use primetime_core::state::sample::{Sample, Why};
use serde::Deserialize;

use crate::group::MARK;

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
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
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// Parses an answer that arrived at `now`.
#[must_use]
pub fn read(body: &[u8], now: Instant) -> Sample {
    let value = data(body).and_then(|data| match data {
        Data::Scalar((_, value)) => number(&value),
        Data::Vector(series) => one(&series),
        Data::Matrix(_) => Err(Why::Malformed("a range vector; ask for an instant".to_owned())),
        Data::String(_) => Err(Why::Malformed("a string".to_owned())),
    });
    known(value, now)
}

/// Returns the warning of Prometheus if an answer to several queries is partial. A partial answer
/// proves the value of no query.
pub(crate) fn lacks(body: &[u8]) -> Option<Why> {
    data(body).err().filter(|why| matches!(why, Why::Partial(_)))
}

/// True if the result is an instant vector, so that `label_replace` and `or` accept the query.
pub(crate) fn is_vector(body: &[u8]) -> bool {
    matches!(data(body), Ok(Data::Vector(_)))
}

/// Parses the answer to a joined query of `count` queries into a sample per query.
pub(crate) fn read_marked(body: &[u8], count: usize, now: Instant) -> Vec<Sample> {
    let series = match data(body) {
        Ok(Data::Vector(series)) => series,
        Ok(_) => return vec![Sample::Unknown(Why::Malformed("no vector".to_owned())); count],
        Err(why) => return vec![Sample::Unknown(why); count],
    };
    let mut answers: Vec<Vec<Series>> = Vec::new();
    answers.resize_with(count, Vec::new);
    for one in series {
        let mark = one.metric.get(MARK).and_then(|mark| mark.parse::<usize>().ok());
        let Some(answer) = mark.and_then(|n| answers.get_mut(n)) else {
            let why = Why::Malformed("a series that was not asked for".to_owned());
            return vec![Sample::Unknown(why); count];
        };
        answer.push(one);
    }
    answers.iter().map(|series| known(one(series), now)).collect()
}

/// Returns the error that Prometheus reports for a refused query.
pub(crate) fn refusal(body: &[u8]) -> Why {
    match data(body) {
        Err(why) => why,
        Ok(_) => Why::Malformed("refused without a word".to_owned()),
    }
}

fn known(value: Result<f64, Why>, now: Instant) -> Sample {
    match value {
        Ok(value) => Sample::Known { value, at: now },
        Err(why) => Sample::Unknown(why),
    }
}

/// Returns the first 200 characters of a text from outside, with blanks for control characters,
/// which a terminal would obey.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn data(body: &[u8]) -> Result<Data, Why> {
    let short = |text: String| short(&text);
    let body: Body =
        serde_json::from_slice(body).map_err(|e| Why::Malformed(short(e.to_string())))?;
    if body.status != "success" {
        return Err(Why::NoAnswer(short(body.error.unwrap_or(body.status))));
    }
    // Thanos and Mimir return partial data with a warning. Prometheus returns a warning as well if
    // `limit` cuts the series.
    if let Some(warning) = body.warnings.into_iter().next() {
        return Err(Why::Partial(short(warning)));
    }
    body.data.ok_or_else(|| Why::Malformed("no data".to_owned()))
}

fn one(series: &[Series]) -> Result<f64, Why> {
    match series {
        [] => Err(Why::Empty),
        [one] => number(&one.value.1),
        many => Err(Why::ManySeries(many.len())),
    }
}

fn number(text: &str) -> Result<f64, Why> {
    let value: f64 = text.parse().map_err(|_| Why::NotANumber)?;
    if value.is_finite() { Ok(value) } else { Err(Why::NotANumber) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(body: &str) -> &'static str {
        match read(body.as_bytes(), chrono::DateTime::UNIX_EPOCH) {
            Sample::Known { value, .. } => panic!("{value} was believed: {body}"),
            Sample::Unknown(why) => why.reason().as_str(),
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

    /// <https://github.com/thanos-io/thanos/issues/1576>: Thanos returned a third of the load with
    /// a warning. The parser reports a partial answer as `Unknown`.
    #[test]
    fn a_part_of_the_answer_is_no_answer() {
        let part = vector(&series("12000")).replacen('{', r#"{"warnings":["store is down"],"#, 1);
        assert_eq!(why(&part), "Partial");
        assert_eq!(lacks(part.as_bytes()), Some(Why::Partial("store is down".to_owned())));
        let info = vector(&series("12000")).replacen(
            '{',
            r#"{"infos":["not a counter"],"warnings":[],"#,
            1,
        );
        assert!(matches!(
            read(info.as_bytes(), chrono::DateTime::UNIX_EPOCH),
            Sample::Known { .. }
        ));
        assert_eq!(lacks(info.as_bytes()), None);
    }

    #[test]
    fn each_of_many_has_its_own_answer() {
        let marked = |n: &str, value: &str| {
            format!(r#"{{"metric":{{"primetime_query":"{n}"}},"value":[1389556800.1,"{value}"]}}"#)
        };
        let all = [marked("1", "NaN"), marked("0", "42400"), marked("3", "1"), marked("3", "2")];
        let now = chrono::DateTime::UNIX_EPOCH;
        let read = read_marked(vector(&all.join(",")).as_bytes(), 4, now);
        let unknown = Sample::Unknown;
        assert_eq!(
            read,
            [
                Sample::Known { value: 42_400.0, at: now },
                unknown(Why::NotANumber),
                unknown(Why::Empty),
                unknown(Why::ManySeries(2)),
            ]
        );
        // The parser rejects the whole answer if a series carries the mark of a query that the
        // client did not send.
        for mark in ["4", "x"] {
            let all = [marked("0", "1"), marked(mark, "1")];
            let read = read_marked(vector(&all.join(",")).as_bytes(), 4, now);
            assert!(read.iter().all(|s| matches!(s, Sample::Unknown(Why::Malformed(_)))));
        }
    }
}
