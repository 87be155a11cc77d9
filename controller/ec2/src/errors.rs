//! Classification of EC2 errors: the planner reacts to each class in another way.

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use primetime_core::state::observed::{Refusal, RefusalClass};

/// Returns the class of an EC2 error code.
///
/// The capacity codes are the codes that Karpenter treats as a single class
/// (<https://github.com/aws/karpenter-provider-aws>, `pkg/errors`). Quota codes form a separate
/// class, because another zone does not help against a quota.
pub(crate) fn class(code: &str) -> RefusalClass {
    match code {
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "ReservationCapacityExceeded"
        | "UnfulfillableCapacity"
        | "Unsupported" => RefusalClass::Capacity,
        "VcpuLimitExceeded"
        | "InstanceLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "MaxFleetCountExceeded" => RefusalClass::Quota,
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "EC2ThrottledException" => {
            RefusalClass::Throttled
        }
        _ => RefusalClass::Invalid,
    }
}

/// Returns the refusal of EC2, if EC2 refused the call.
///
/// # Errors
///
/// Returns the error as a sentence if the effect of the call is unknown. Causes are no answer, an
/// unreadable answer, `InternalError`, `Unavailable` or `ServiceUnavailable`.
pub(crate) fn refusal<E, R>(error: &SdkError<E, R>) -> Result<Refusal, String>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let SdkError::ServiceError(service) = error else {
        return Err(sentence(error));
    };
    let meta = service.err();
    let Some(code) = meta
        .code()
        .filter(|c| !matches!(*c, "InternalError" | "Unavailable" | "ServiceUnavailable"))
    else {
        return Err(sentence(error));
    };
    Ok(Refusal {
        class: class(code),
        message: format!("{code}: {}", meta.message().unwrap_or("no reason given")),
    })
}

/// Formats an error and the causes of the error on a single line. If EC2 sent no error code, the
/// text has at most 300 characters.
pub(crate) fn sentence<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    if let SdkError::ServiceError(service) = error
        && let Some(code) = service.err().code()
    {
        return format!("{code}: {}", service.err().message().unwrap_or("no reason given"));
    }
    DisplayErrorContext(error).to_string().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_capacity_throttling_and_mistakes_are_kept_apart() {
        assert_eq!(class("InsufficientInstanceCapacity"), RefusalClass::Capacity);
        assert_eq!(class("VcpuLimitExceeded"), RefusalClass::Quota);
        assert_eq!(class("RequestLimitExceeded"), RefusalClass::Throttled);
        assert_eq!(class("InvalidLaunchTemplateId.NotFound"), RefusalClass::Invalid);
        assert_eq!(class("IdempotentParameterMismatch"), RefusalClass::Invalid);
    }
}
