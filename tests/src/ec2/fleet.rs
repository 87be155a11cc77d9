//! `CreateFleet` with `type=instant`: client tokens, capacity per instance type, vCPU quota, lost
//! replies.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::time::Instant;

use super::form::{self, Form};
use super::{Ec2, Machine, error, xml};

const VCPUS: u32 = 4;

/// An override of the request: an instance type in a subnet.
struct Pool {
    prefix: String,
    instance_type: String,
    subnet: String,
}

fn pools(form: &Form) -> Vec<Pool> {
    let mut pools: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut order = Vec::new();
    for (key, value) in form.containing(".Overrides.") {
        let Some((prefix, field)) = key.rsplit_once('.') else {
            continue;
        };
        if !order.iter().any(|p| p == prefix) {
            order.push(prefix.to_owned());
        }
        let pool = pools.entry(prefix.to_owned()).or_default();
        match field {
            "InstanceType" => value.clone_into(&mut pool.0),
            "SubnetId" => value.clone_into(&mut pool.1),
            _ => {}
        }
    }
    order
        .into_iter()
        .filter_map(|prefix| {
            let (instance_type, subnet) = pools.remove(&prefix)?;
            Some(Pool { prefix, instance_type, subnet })
        })
        .collect()
}

/// A partial refusal: the instance type, the error code and the error message.
struct Refused {
    instance_type: String,
    code: &'static str,
    message: String,
}

pub(super) async fn create(ec2: &Ec2, form: &Form, headers: &HeaderMap) -> Response {
    let token = form.get("ClientToken").unwrap_or_default().to_owned();
    // EC2 throttles, and looks at the credentials, before it looks at the token.
    let early = ec2.region(|r| {
        let known = r.tokens.contains_key(&token);
        let (code, left) = r.behaviour.after_lost.filter(|(_, left)| known && *left > 0)?;
        r.behaviour.after_lost = Some((code, left - 1));
        Some(code)
    });
    if let Some(code) = early {
        return error(StatusCode::BAD_REQUEST, code, "the proxy refuses a repeated call");
    }
    let parameters = form.without(|k| k == "ClientToken").encode();
    if let Some((known, answer)) = ec2.region(|r| r.tokens.get(&token).cloned()) {
        if known != parameters {
            let said = "The provided client token was used before with other parameters";
            return error(StatusCode::BAD_REQUEST, "IdempotentParameterMismatch", said);
        }
        return xml(StatusCode::OK, answer);
    }
    let wanted: u32 = form
        .get("TargetCapacitySpecification.TotalTargetCapacity")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut came: Vec<(String, Vec<String>)> = Vec::new();
    let mut refused = Vec::new();
    let mut missing = wanted;
    for pool in pools(form) {
        if missing == 0 {
            break;
        }
        let (granted, refusal) = grant(ec2, &pool, missing);
        refused.extend(refusal);
        if granted == 0 {
            continue;
        }
        match launch(ec2, form, headers, &pool, granted).await {
            Ok(ids) => {
                missing -= granted.min(u32::try_from(ids.len()).unwrap_or(0));
                came.push((pool.instance_type, ids));
            }
            Err(why) => return error(StatusCode::BAD_REQUEST, "InvalidParameterValue", &why),
        }
    }
    let answer = compose(&came, &refused);
    let lost = ec2.region(|r| {
        r.tokens.insert(token, (parameters, answer.clone()));
        for id in came.iter().flat_map(|(_, ids)| ids) {
            r.machines.insert(id.clone(), Machine { launched: Instant::now(), terminated: false });
        }
        let lost = r.behaviour.lost_replies > 0;
        r.behaviour.lost_replies -= u32::from(lost);
        lost
    });
    if lost {
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "an internal error has occurred",
        );
    }
    xml(StatusCode::OK, answer)
}

/// Reserves up to `wanted` instances of a pool from capacity and quota.
///
/// Returns the number granted, and a refusal if the number is below `wanted`.
fn grant(ec2: &Ec2, pool: &Pool, wanted: u32) -> (u32, Option<Refused>) {
    ec2.region(|r| {
        let behaviour = &mut r.behaviour;
        let capacity = behaviour.capacity.get(&pool.instance_type).copied().unwrap_or(u32::MAX);
        let quota = behaviour.vcpu_quota.map_or(u32::MAX, |q| q / VCPUS);
        let granted = wanted.min(capacity).min(quota);
        if let Some(left) = behaviour.capacity.get_mut(&pool.instance_type) {
            *left -= granted;
        }
        if let Some(left) = behaviour.vcpu_quota.as_mut() {
            *left -= granted * VCPUS;
        }
        let refused = (granted < wanted).then(|| Refused {
            instance_type: pool.instance_type.clone(),
            code: if quota < capacity {
                "VcpuLimitExceeded"
            } else {
                "InsufficientInstanceCapacity"
            },
            message: format!(
                "{} of {} {} cannot be started",
                wanted - granted,
                wanted,
                pool.instance_type
            ),
        });
        (granted, refused)
    })
}

/// Starts `count` instances of a pool in moto. Returns the instance ids, or the error text of moto.
async fn launch(
    ec2: &Ec2,
    form: &Form,
    headers: &HeaderMap,
    pool: &Pool,
    count: u32,
) -> Result<Vec<String>, String> {
    let base = pool.prefix.rsplit_once('.').map_or("", |(base, _)| base).to_owned();
    let one = form
        .without(|k| k == "ClientToken" || k.contains(".Overrides."))
        .with(&format!("{base}.1.InstanceType"), &pool.instance_type)
        .with(&format!("{base}.1.SubnetId"), &pool.subnet)
        .with("TargetCapacitySpecification.TotalTargetCapacity", &count.to_string());
    let (status, body) = ec2.forward(&one, headers).await.map_err(|e| e.to_string())?;
    if !status.is_success() {
        return Err(body);
    }
    let ids =
        form::all(&body, "instanceIds").iter().flat_map(|list| form::all(list, "item")).collect();
    Ok(ids)
}

fn compose(came: &[(String, Vec<String>)], refused: &[Refused]) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?><CreateFleetResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>test</requestId><fleetId>fleet-test</fleetId><errorSet>",
    );
    for r in refused {
        let _ = write!(
            xml,
            "<item><launchTemplateAndOverrides><overrides><instanceType>{}</instanceType></overrides></launchTemplateAndOverrides><lifecycle>on-demand</lifecycle><errorCode>{}</errorCode><errorMessage>{}</errorMessage></item>",
            r.instance_type, r.code, r.message
        );
    }
    xml.push_str("</errorSet><fleetInstanceSet>");
    for (instance_type, ids) in came {
        xml.push_str("<item><lifecycle>on-demand</lifecycle><instanceIds>");
        for id in ids {
            let _ = write!(xml, "<item>{id}</item>");
        }
        let _ = write!(xml, "</instanceIds><instanceType>{instance_type}</instanceType></item>");
    }
    xml.push_str("</fleetInstanceSet></CreateFleetResponse>");
    xml
}
