//! Errors of the cloud: trouble of different kinds is answered differently.

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use primetime_core::state::observed::{Refusal, RefusalClass};

/// The class of an error code. The capacity codes are those that Karpenter treats as one class
/// (<https://github.com/aws/karpenter-provider-aws>, `pkg/errors`); quota codes are kept apart, because another zone
/// does not cure them.
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

/// The cloud's refusal, if it was one.
///
/// # Errors
///
/// It is unknown whether the call had an effect: no answer, a broken answer, an internal error.
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

/// An error with its causes, on one line.
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
