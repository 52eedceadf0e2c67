//! Every record survives the wire, and no bytes can upset a reader.
#![forbid(unsafe_code)]

use protocol::{
    AdapterStatistics, DecodeError, DirectionCounters, DriverVersion, FlowCounters, FlowHeader,
    FlowKind, FlowQuery, FlowRecord, Mode, ModuleState, Record, Reply, ReplyWriter, RingCounters,
    ShortBuffer, StatisticsHeader, TcpState, VERSION, Wire, WorkItemCounters,
};

/// Bytes of a record of `R` in which every byte that may vary does.
fn varied<R: Record>(seed: u8) -> Vec<u8> {
    (0..R::SIZE)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}

/// Makes bytes valid: version and one-byte enumerations are the only fields that can be refused.
fn repair<R: Record + PartialEq>(mut bytes: Vec<u8>) -> (Vec<u8>, R) {
    loop {
        match R::decode(&bytes) {
            Ok(record) => return (bytes, record),
            Err(DecodeError::Version { .. }) => bytes[..2].copy_from_slice(&VERSION.to_le_bytes()),
            Err(DecodeError::Value { value, .. }) => {
                // The first byte whose change moves the complaint is the one.
                let at = (0..bytes.len())
                    .find(|&at| {
                        u64::from(bytes[at]) == value && {
                            let mut other = bytes.clone();
                            other[at] = 1;
                            R::decode(&other) != R::decode(&bytes)
                        }
                    })
                    .expect("the refused value is in the record");
                bytes[at] = 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn check<R: Record + PartialEq + std::fmt::Debug>() {
    for seed in [0, 1, 77, 255] {
        let (bytes, record) = repair::<R>(varied::<R>(seed));
        // Encoding gives back the bytes: every byte belongs to a field, and to one only.
        let mut again = vec![0; R::SIZE];
        record.encode(&mut again).unwrap();
        assert_eq!(again, bytes);
        assert_eq!(R::decode(&again).unwrap(), record);
        for had in 0..R::SIZE {
            let short = ShortBuffer {
                needed: R::SIZE,
                had,
            };
            assert_eq!(
                R::decode(&bytes[..had]).unwrap_err(),
                DecodeError::Short(short)
            );
            let mut place = vec![0xEE; had];
            assert_eq!(record.encode(&mut place).unwrap_err(), short);
            assert!(
                place.iter().all(|&b| b == 0xEE),
                "nothing is written where it does not fit"
            );
        }
        // Bytes behind the record are neither read nor written.
        let mut longer = [bytes.clone(), vec![0xEE; 3]].concat();
        assert_eq!(R::decode(&longer).unwrap(), record);
        record.encode(&mut longer).unwrap();
        assert_eq!(&longer[R::SIZE..], [0xEE; 3]);
    }
}

#[test]
fn every_record_round_trips() {
    check::<StatisticsHeader>();
    check::<AdapterStatistics>();
    check::<DirectionCounters>();
    check::<RingCounters>();
    check::<WorkItemCounters>();
    check::<FlowCounters>();
    check::<DriverVersion>();
    check::<FlowQuery>();
    check::<FlowHeader>();
    check::<FlowRecord>();
}

#[test]
fn sizes_stand() {
    assert_eq!(StatisticsHeader::SIZE, 36 + AdapterStatistics::SIZE);
    assert_eq!(AdapterStatistics::SIZE, 12 + 2 * 192 + 24 + 72 + 32);
    assert_eq!(FlowQuery::SIZE, 12);
    assert_eq!(FlowHeader::SIZE, 24);
    assert_eq!(FlowRecord::SIZE, 100);
}

#[test]
fn fields_are_little_endian_and_in_order() {
    let query = FlowQuery {
        reserved: 0,
        if_index: 0x0102_0304,
        cursor: 0x0506_0708,
    };
    let mut bytes = [0; FlowQuery::SIZE];
    query.encode(&mut bytes).unwrap();
    assert_eq!(bytes, [1, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5]);
}

#[test]
fn another_version_is_refused() {
    let mut bytes = [0; FlowQuery::SIZE];
    bytes[0] = 2;
    assert_eq!(
        FlowQuery::decode(&bytes),
        Err(DecodeError::Version { found: 2 })
    );
}

#[test]
fn enumerations_take_their_own_values_only() {
    for (number, state) in ModuleState::ALL.iter().enumerate() {
        assert_eq!(ModuleState::take(&mut &[number as u8][..]), Ok(*state));
    }
    for (number, mode) in Mode::ALL.iter().enumerate() {
        assert_eq!(Mode::take(&mut &[number as u8][..]), Ok(*mode));
    }
    for (number, state) in TcpState::ALL.iter().enumerate() {
        assert_eq!(TcpState::take(&mut &[number as u8][..]), Ok(*state));
    }
    for (number, kind) in FlowKind::ALL.iter().enumerate() {
        assert_eq!(FlowKind::take(&mut &[number as u8][..]), Ok(*kind));
    }
    for number in 7..=255 {
        let error = DecodeError::Value {
            field: "TcpState",
            value: u64::from(number),
        };
        assert_eq!(TcpState::take(&mut &[number][..]), Err(error));
    }
}

#[test]
fn reply_holds_what_fits() {
    let record = |port| FlowRecord {
        port_a: port,
        ..Default::default()
    };
    for room in 0..FlowHeader::SIZE + 3 * FlowRecord::SIZE {
        let mut output = vec![0; room];
        let Ok(mut reply) = ReplyWriter::<FlowHeader, FlowRecord>::new(&mut output) else {
            assert!(room < FlowHeader::SIZE);
            continue;
        };
        let pushed = (0..5).take_while(|&port| reply.push(&record(port))).count();
        assert_eq!(pushed, (room - FlowHeader::SIZE) / FlowRecord::SIZE);
        let header = FlowHeader {
            flow_count: 5,
            ..Default::default()
        };
        let written = reply.finish(&header).unwrap();
        let read = Reply::<FlowHeader, FlowRecord>::decode(&output[..written]).unwrap();
        assert_eq!(read.header, header);
        let ports: Vec<u16> = read.records.map(|record| record.unwrap().port_a).collect();
        assert_eq!(ports, (0..pushed as u16).collect::<Vec<_>>());
    }
}

#[test]
fn a_cut_record_ends_the_reply() {
    let mut output = vec![0; FlowHeader::SIZE + 2 * FlowRecord::SIZE];
    let mut reply = ReplyWriter::<FlowHeader, FlowRecord>::new(&mut output).unwrap();
    assert!(reply.push(&FlowRecord::default()));
    assert!(reply.push(&FlowRecord::default()));
    let written = reply.finish(&FlowHeader::default()).unwrap();
    let mut records = Reply::<FlowHeader, FlowRecord>::decode(&output[..written - 1])
        .unwrap()
        .records;
    assert!(records.next().unwrap().is_ok());
    assert!(matches!(records.next(), Some(Err(DecodeError::Short(_)))));
    assert!(records.next().is_none());
}
