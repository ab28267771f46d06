//! What is written is read back, what is damaged is refused, and what was written once stays readable.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    event::{Event, Revision, UsageEvent},
    head::{DaySet, Head},
    held::Held,
    hours::Hours,
    id::CorrectionId,
    month::Month,
    property::{Properties, Property},
    quantity::Quantity,
    totals::{Latest, Tally, Totals},
    window::Level,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn month() -> Month {
    Month::of("2025-01-15T00:00:00Z".parse().unwrap())
}

fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..2_678_400_000).prop_map(|millis| month().start() + TimeDelta::milliseconds(millis))
}

fn quantity() -> impl Strategy<Value = Quantity> {
    let limit = Quantity::EVENT_MAX.units();
    prop_oneof![(-limit..limit).prop_map(Quantity::from_units), (0_u64..1000).prop_map(Quantity::from_count),]
}

fn property() -> impl Strategy<Value = Property> {
    prop_oneof![
        Just(Property::Null),
        any::<bool>().prop_map(Property::Bool),
        "[0-9]{1,5}".prop_map(Property::Number),
        ".{0,9}".prop_map(Property::Text),
        Just(Property::Nested("[1,2]".into())),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    let id = || any::<u128>().prop_map(|id| CorrectionId::from_uuid(Uuid::from_u128(id)));
    prop_oneof![
        8 => Just(Revision::First),
        1 => id().prop_map(Revision::Replacement),
        1 => id().prop_map(Revision::Void),
    ]
}

fn event() -> impl Strategy<Value = UsageEvent> {
    let key = prop_oneof![".{1,12}", any::<u128>().prop_map(|n| Uuid::from_u128(n).to_string())];
    let properties =
        || prop::collection::btree_map(".{0,6}", property(), 0..4).prop_map(Properties::from_iter);
    (key, instant(), -90_000_000_i64..9_000_000_000, quantity(), properties(), properties(), revision())
        .prop_map(|(key, occurred_at, delay, quantity, properties, metadata, revision)| UsageEvent {
            key,
            occurred_at,
            ingested_at: occurred_at + TimeDelta::milliseconds(delay),
            quantity,
            properties,
            metadata,
            revision,
        })
}

fn in_order(events: &[UsageEvent]) -> Vec<UsageEvent> {
    let mut events = events.to_vec();
    events.sort_by(|left, right| left.identity().cmp(&right.identity()));
    events
}

fn decoded(bytes: &[u8]) -> Result<Vec<UsageEvent>, Damaged> {
    let block = Block::decode(bytes, month().start())?;
    let events = block.to_events().collect::<Vec<_>>();
    let one_by_one = block.rows().map(|row| row.to_event());
    assert!(one_by_one.eq(events.iter().cloned()), "rows that share properties are the rows");
    Ok(events)
}

fn latest() -> impl Strategy<Value = Latest> {
    (instant(), instant(), quantity()).prop_map(|(occurred_at, ingested_at, quantity)| Latest {
        occurred_at,
        ingested_at,
        quantity,
    })
}

/// Totals by place, all of one aggregation.
fn totals() -> impl Strategy<Value = BTreeMap<u32, Totals>> {
    let held = || {
        let parts = (instant(), latest(), any::<i128>());
        prop::option::of(parts.prop_map(|(first_at, last, area)| Held { first_at, last, area }))
    };
    let tally = prop_oneof![
        Just(vec![Tally::Count; 3]),
        Just(vec![Tally::Unique; 3]),
        prop::collection::vec(quantity().prop_map(Tally::Sum), 3),
        prop::collection::vec(prop::option::of(quantity()).prop_map(Tally::Max), 3),
        prop::collection::vec(prop::option::of(quantity()).prop_map(Tally::Min), 3),
        prop::collection::vec(prop::option::of(latest()).prop_map(Tally::Last), 3),
        prop::collection::vec(held().prop_map(Tally::Held), 3),
    ];
    (prop::collection::btree_set(1_u32..32, 0..4), tally, any::<u64>()).prop_map(
        |(places, tallies, events)| {
            places.into_iter().zip(tallies).map(|(place, tally)| (place, Totals { events, tally })).collect()
        },
    )
}

fn head() -> impl Strategy<Value = Head> {
    let spans = prop::collection::vec(prop::option::of((instant(), instant())), 5);
    let tail = prop::collection::vec(event(), 0..8);
    let filling = prop::option::of((instant(), any::<u64>()));
    ((any::<u64>(), any::<u64>(), 0_u32..u32::MAX, 0_usize..5, any::<bool>()), spans, totals(), tail, filling)
        .prop_map(
            |((members, corrections, hourly, finest, has_sealed_corrections), spans, days, tail, filling)| {
                let mut head = Head {
                    version: 3,
                    members,
                    corrections,
                    days,
                    hourly: DaySet(hourly),
                    tail: in_order(&tail),
                    has_sealed_corrections,
                    finest: Level::ALL[finest],
                    filling,
                    ..Head::default()
                };
                for (level, span) in Level::ALL.into_iter().zip(spans) {
                    if let Some((left, right)) = span {
                        head.sealed.extend(level, left.min(right), left.max(right));
                    }
                }
                head
            },
        )
}

proptest! {
    #[test]
    fn events_survive_being_stored(events in prop::collection::vec(event(), 0..40)) {
        let bytes = encode_events(&events, month().start());
        let expected = in_order(&events);
        let mut found = decoded(&bytes).unwrap();
        // Of one time and key, the order does not matter.
        found.sort_by_key(|event| format!("{event:?}"));
        let mut expected = expected;
        expected.sort_by_key(|event| format!("{event:?}"));
        prop_assert_eq!(&found, &expected);
        prop_assert!(bytes.len() <= 16 + events.iter().map(raw_bytes).sum::<usize>());
        let block = Block::decode(&bytes, month().start()).unwrap();
        for event in &events {
            let rows = block.rows_at(event.occurred_at).filter(|row| row.has_key(&event.key));
            prop_assert!(rows.map(|row| row.to_event()).any(|found| found == *event));
        }
        for kept in [1, 2, 3, 50] {
            let wanted = events.iter().step_by(kept).map(UsageEvent::identity).collect::<BTreeSet<_>>();
            let found = Block::find(&bytes, month().start(), &wanted).unwrap();
            let expected = block.to_events().filter(|event| wanted.contains(&event.identity()));
            prop_assert_eq!(found.to_events().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        for (row, event) in block.rows().zip(block.rows().map(|row| row.to_event())) {
            for name in event.properties.keys().chain(event.metadata.keys()) {
                prop_assert_eq!(row.property(name), event.property(name));
            }
        }
    }

    #[test]
    fn heads_and_hours_survive_being_stored(head in head(), hours in totals()) {
        let bytes = encode_head(&head, month());
        prop_assert_eq!(decode_head(&bytes, month(), 3), Ok(head));
        let hours = Hours { totals: hours };
        prop_assert_eq!(decode_hours(&encode_hours(&hours, month()), month()), Ok(hours));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in [1, FORMAT] {
            let mut formatted = vec![format];
            formatted.extend(&bytes);
            let _ = decode_head(&formatted, month(), 1);
            let _ = decoded(&formatted);
            let _ = Block::find(&formatted, month().start(), &BTreeSet::new());
            let _ = decode_hours(&formatted, month());
        }
    }

    #[test]
    fn cut_or_flipped_bytes_never_panic(
        events in prop::collection::vec(event(), 1..20),
        head in head(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut bytes = encode_events(&events, month().start());
        let place = at.index(bytes.len());
        prop_assert!(decoded(&bytes[..place]).is_err());
        bytes[place] ^= flip;
        let _ = decoded(&bytes).map(|events| events.len());
        let wanted = events.iter().step_by(2).map(UsageEvent::identity).collect::<BTreeSet<_>>();
        let _ = Block::find(&bytes, month().start(), &wanted).map(|found| found.to_events().count());
        let mut bytes = encode_head(&head, month());
        let place = at.index(bytes.len());
        prop_assert!(decode_head(&bytes[..place], month(), 1).is_err());
        bytes[place] ^= flip;
        let _ = decode_head(&bytes, month(), 1);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.split_whitespace().collect::<String>();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn known_event() -> UsageEvent {
    UsageEvent {
        key: "request_1".into(),
        occurred_at: "2025-01-02T03:04:05.678Z".parse().unwrap(),
        ingested_at: "2025-01-02T03:04:06Z".parse().unwrap(),
        quantity: "4.25".parse().unwrap(),
        properties: Properties::from([("region".into(), Property::Text("eu".into()))]),
        metadata: Properties::from([("n".into(), Property::Number("1.0".into()))]),
        revision: Revision::First,
    }
}

/// Format 1 as it was first stored. It has to stay readable for ever.
#[test]
fn format_1_is_read_for_ever() {
    let segment = unhex(
        "01010009726571756573745f31dc9cf75c84050ad2060106726567696f6e04026575\
         01016e0303312e30",
    );
    assert_eq!(decoded(&segment), Ok(vec![known_event()]));
    let head = decode_head(&unhex(FORMAT_1_HEAD), month(), 9).unwrap();
    assert_eq!((head.version, head.members, head.tail), (9, 2, vec![known_event()]));
    let Tally::Last(Some(last)) = head.days[&2].tally else { panic!("{:?}", head.days) };
    assert_eq!(last.ingested_at, known_event().ingested_at);
    let first = "2025-01-01T00:00:01Z".parse().unwrap();
    assert_eq!(head.sealed.iter().collect::<Vec<_>>(), [(Level::Month, (first, first))]);
}

/// A head of format 1: two members, one in a segment; a day with LAST; the span; the tail.
const FORMAT_1_HEAD: &str = "01 02 01 02 01 04 01 0a d206 dc9cf75c e0a1f75c 01 d00f 01 d00f 01 dc9cf75c 01 \
                             0009726571756573745f31dc9cf75c84050ad2060106726567696f6e04026575 01016e0303312e30";

/// Format 2 as it was first stored. It has to stay readable for ever.
#[test]
fn format_2_is_read_for_ever() {
    let uuid = UsageEvent {
        key: "0190a8d8-5b7c-7d3e-8f00-0123456789ab".into(),
        occurred_at: "2025-01-02T03:04:06Z".parse().unwrap(),
        revision: Revision::Void(CorrectionId::from_uuid(Uuid::from_u128(5))),
        ..known_event()
    };
    let events = vec![known_event(), uuid];
    assert_eq!(hex(&encode_events(&events, month().start())), FORMAT_2_SEGMENT);
    assert_eq!(decoded(&unhex(FORMAT_2_SEGMENT)), Ok(events));
    let many = (0..60).map(|n| UsageEvent { key: format!("k{n:02}"), ..known_event() }).collect::<Vec<_>>();
    assert_eq!(decoded(&unhex(FORMAT_2_COMPRESSED)), Ok(many), "also where it is compressed");
}

const FORMAT_2_SEGMENT: &str = "020802010190a8d85b7c7d3e8f000123456789abdc9cf75cc2020900726571756573745f318405\
                                000ad206d20601010100000000000000000000000000000005020006726567696f6e0104026575\
                                0101016e010303312e3001";
const FORMAT_2_COMPRESSED: &str = "020d3c00ff0328b52ffd0000fd0400a2cd232390274907ff7971ffffef77da6b95aa264204de5d\
                                   118410b2f7de65eece9435645b2324a502651825514a4140148792302820401c1ca420c7420001\
                                   484839ca4f6ef2cc31bfdcf2ca9b271ce1073778e2881f6e78e1c5d38dee739b3b6fbcefb6bbee\
                                   dec946f6b18d9d36da679b5d76ed54a3fad4a6ce1aebabadaeba75eaa89f6e7a76ecd7ad576f37\
                                   c840830243040033978edbc1290012fb09de";

/// A head of format 2, and totals by hour, as they were first stored. They have to stay readable for ever.
#[test]
fn heads_and_hours_of_format_2_are_read_for_ever() {
    let (mut head, level) = (known_head(), known_level());
    assert_eq!(hex(&encode_head(&head, month())), unspaced(FORMAT_2_HEAD));
    assert_eq!(decode_head(&unhex(FORMAT_2_HEAD), month(), 7), Ok(head.clone()));
    head.days = BTreeMap::from([(2, level)]);
    head.filling = None;
    assert_eq!(hex(&encode_head(&head, month())), unspaced(FORMAT_2_HEAD_OF_A_LEVEL));
    assert_eq!(decode_head(&unhex(FORMAT_2_HEAD_OF_A_LEVEL), month(), 7), Ok(head));

    let four = "4.25".parse().unwrap();
    let last = Latest::of(&known_event());
    for (tally, stored) in [
        (Tally::Count, "02 02 00 03 07 14 07"),
        (Tally::Sum(four), "02 02 01 03 07 0ad206 14 07 0ad206"),
        (Tally::Max(Some(four)), "02 02 02 03 07 010ad206 14 07 010ad206"),
        (Tally::Min(None), "02 02 03 03 07 00 14 07 00"),
        (Tally::Last(Some(last)), "02 02 04 03 07 010ad206dc9cf75c8405 14 07 010ad206dc9cf75c8405"),
        (Tally::Unique, "02 02 05 03 07 14 07"),
    ] {
        let totals = Totals { events: 7, tally };
        let hours = Hours { totals: BTreeMap::from([(3, totals), (23, totals)]) };
        assert_eq!(hex(&encode_hours(&hours, month())), unspaced(stored), "{tally:?}");
        assert_eq!(decode_hours(&unhex(stored), month()), Ok(hours), "{tally:?}");
    }
}

fn unspaced(text: &str) -> String {
    text.split_whitespace().collect()
}

fn known_head() -> Head {
    let mut head = Head {
        version: 7,
        members: 70_000,
        corrections: 2,
        days: BTreeMap::from([(2, Totals { events: 69_999, tally: Tally::Sum("1.5".parse().unwrap()) })]),
        hourly: DaySet(1 << 2),
        tail: vec![known_event()],
        has_sealed_corrections: true,
        finest: Level::Minute,
        filling: Some(("2025-01-02T03:04:00Z".parse().unwrap(), 40_000)),
        ..Head::default()
    };
    let at = |text: &str| text.parse().unwrap();
    head.sealed.extend(Level::Month, at("2025-01-01T00:00:01Z"), at("2025-01-01T00:00:01Z"));
    head.sealed.extend(Level::Minute, at("2025-01-02T00:00:00Z"), at("2025-01-02T03:04:05Z"));
    head
}

fn known_level() -> Totals {
    let held = Held {
        first_at: "2025-01-02T00:00:00Z".parse().unwrap(),
        last: Latest::of(&known_event()),
        area: 1_234_567_890_123_456_789,
    };
    Totals { events: 2, tally: Tally::Held(Some(held)) }
}

const FORMAT_2_HEAD: &str = "02 f0a204 02 13 04 29 d00f00 80f0b252 8891a205 80c4f65c c0b802 01 01 02 efa204 0b1e \
                             040100dc9cf75c09726571756573745f3184050ad20600020006726567696f6e010402657501 \
                             01016e010303312e3001";
const FORMAT_2_HEAD_OF_A_LEVEL: &str = "02 f0a204 02 13 04 09 d00f00 80f0b252 8891a205 01 06 02 02 01 0ad206dc9cf75c8405 \
                                        dcacc40a aa84ccde8fbd88a222 \
                                        040100dc9cf75c09726571756573745f3184050ad20600020006726567696f6e010402657501 \
                                        01016e010303312e3001";
