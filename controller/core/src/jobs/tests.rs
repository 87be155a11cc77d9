use super::*;

#[test]
fn a_name_is_the_same_for_the_same_attempt_and_short_enough_for_a_label() {
    let uid = "00000000-0000-4000-8000-000000000000";
    assert_eq!(name(uid, "photos", 1), name(uid, "photos", 1));
    assert_ne!(name(uid, "photos", 1), name(uid, "photos", 2));
    assert_ne!(name(uid, "photos", 1), name(uid, "prices", 1));
    assert_ne!(name(uid, "photos", 1), name("another", "photos", 1));
    let long = name(uid, &"x".repeat(63), u32::MAX);
    assert!(long.len() <= 63, "{long}");
}
