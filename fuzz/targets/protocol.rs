//! Records: what decodes, encodes to the same bytes, and a reply ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    AdapterStatistics, FlowHeader, FlowQuery, FlowRecord, Record, Reply, StatisticsHeader,
};

fuzz_target!(|input: &[u8]| {
    round_trip::<AdapterStatistics>(input);
    round_trip::<FlowHeader>(input);
    round_trip::<FlowQuery>(input);
    round_trip::<FlowRecord>(input);
    round_trip::<StatisticsHeader>(input);
    read::<FlowHeader, FlowRecord>(input);
    read::<StatisticsHeader, AdapterStatistics>(input);
});

fn round_trip<R: Record>(input: &[u8]) {
    if let Ok(record) = R::decode(input) {
        let mut bytes = vec![0; R::SIZE];
        record.encode(&mut bytes).expect("room for the record");
        assert_eq!(bytes, input[..R::SIZE]);
    }
}

fn read<H: Record, R: Record>(input: &[u8]) {
    if let Ok(reply) = Reply::<H, R>::decode(input) {
        let most = (input.len() - H::SIZE).div_ceil(R::SIZE);
        assert!(reply.records.count() <= most);
    }
}
