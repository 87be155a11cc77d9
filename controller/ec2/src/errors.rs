//! Classification of EC2 errors: the planner reacts to each class in another way.

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use primetime_core::state::observed::{LaunchAnswer, Refusal, RefusalClass};

/// What an error code of EC2 says about a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// EC2 started nothing, for a reason of this class.
    Refused(RefusalClass),
    /// EC2 did not look at the launch: throttled, or no valid credentials. An earlier call with the
    /// same token may have started instances. `IdempotentParameterMismatch` even says so.
    Unheard,
    /// EC2 failed, and the effect is unknown.
    Unknown,
}

/// Returns the meaning of an EC2 error code with the HTTP status of the answer.
///
/// The capacity codes are the codes that Karpenter treats as a single class
/// (<https://github.com/aws/karpenter-provider-aws>, `pkg/errors`). Quota codes form a separate
/// class, because another zone does not help against a quota. EC2 answers some of them with 500, so
/// the code counts before the status
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>).
pub(crate) fn meaning(code: &str, status: u16) -> Meaning {
    match code {
        "InsufficientInstanceCapacity"
        | "InsufficientCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientAddressCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "ReservationCapacityExceeded"
        | "UnfulfillableCapacity"
        | "Unsupported" => Meaning::Refused(RefusalClass::Capacity),
        "VcpuLimitExceeded"
        | "InstanceLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "MaxFleetCountExceeded"
        | "MaxIOPSLimitExceeded"
        | "VolumeLimitExceeded"
        | "NetworkInterfaceLimitExceeded"
        | "PendingVerification" => Meaning::Refused(RefusalClass::Quota),
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "EC2ThrottledException"
        | "IdempotentParameterMismatch"
        | "IdempotentInstantFleet"
        | "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => Meaning::Unheard,
        "InternalError" | "InternalFailure" | "RequestTimeout" | "Unavailable"
        | "ServiceUnavailable" => Meaning::Unknown,
        _ if code.starts_with("AuthFailure.") => Meaning::Unheard,
        _ if status >= 500 => Meaning::Unknown,
        _ => Meaning::Refused(RefusalClass::Invalid),
    }
}

/// Returns the class of the error of a pool. The fleet itself was answered, so a pool always means a
/// refusal.
pub(crate) fn class(code: &str) -> RefusalClass {
    match meaning(code, 400) {
        Meaning::Refused(class) => class,
        Meaning::Unheard | Meaning::Unknown => RefusalClass::Capacity,
    }
}

/// Returns the answer that an error of a launch stands for. An entry whose effect is not certain
/// stays open.
pub(crate) fn answer<E>(error: &SdkError<E, HttpResponse>) -> LaunchAnswer
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let message = sentence(error);
    let service = match error {
        SdkError::ServiceError(service) => service,
        // Without credentials the request was never sent.
        SdkError::ConstructionFailure(_) => return LaunchAnswer::Unheard(message),
        _ => return LaunchAnswer::Unknown(message),
    };
    let status = service.raw().status().as_u16();
    match service.err().code().map(|code| meaning(code, status)) {
        Some(Meaning::Refused(class)) => LaunchAnswer::Refused(Refusal { class, message }),
        Some(Meaning::Unheard) => LaunchAnswer::Unheard(message),
        Some(Meaning::Unknown) | None => LaunchAnswer::Unknown(message),
    }
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
        let message = service.err().message().unwrap_or("no reason given");
        // The encoded part differs in each answer, and a status would be written each time.
        let message = message.split("Encoded authorization failure").next().unwrap_or(message);
        return format!("{code}: {}", message.trim());
    }
    DisplayErrorContext(error).to_string().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_kept_apart_from_answers_that_say_nothing() {
        let refused = |class| Meaning::Refused(class);
        let cases = [
            ("InsufficientInstanceCapacity", 500, refused(RefusalClass::Capacity)),
            ("VcpuLimitExceeded", 400, refused(RefusalClass::Quota)),
            ("InvalidLaunchTemplateId.NotFound", 400, refused(RefusalClass::Invalid)),
            ("RequestLimitExceeded", 503, Meaning::Unheard),
            ("IdempotentParameterMismatch", 400, Meaning::Unheard),
            ("RequestExpired", 400, Meaning::Unheard),
            ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", 403, Meaning::Unheard),
            ("InternalFailure", 500, Meaning::Unknown),
            ("SomethingNew", 500, Meaning::Unknown),
            ("SomethingNew", 400, refused(RefusalClass::Invalid)),
        ];
        for (code, status, expected) in cases {
            assert_eq!(meaning(code, status), expected, "{code} {status}");
        }
    }
}
