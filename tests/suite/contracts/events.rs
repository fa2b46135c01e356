//! What every event and every listener keep to.

use contracts::{EVENT_NAMES, stream_of};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};

use crate::isolation::edges::Edges;

#[test]
fn every_event_names_its_tenant_and_its_key() {
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
    let files = pool.files().filter(|file| file.name().ends_with("/events.proto"));
    let events: Vec<_> = files
        .flat_map(|file| file.messages().collect::<Vec<_>>())
        .collect();
    assert!(events.len() >= 10, "only {} events", events.len());
    for event in &events {
        let name = event.full_name();
        assert!(
            EVENT_NAMES.contains(&name),
            "{name} is not among contracts::EVENT_NAMES"
        );
        let text = |field: &FieldDescriptor| {
            field.kind() == Kind::String && field.cardinality() == Cardinality::Optional
        };
        let tenant = event
            .get_field(1)
            .filter(|field| text(field) && field.name() == "tenant_id");
        assert!(tenant.is_some(), "{name}: field 1 must be `string tenant_id`");
        assert!(
            event.get_field(2).is_some_and(|field| text(&field)),
            "{name}: field 2 must be its key, a string"
        );
    }
    assert_eq!(EVENT_NAMES.len(), events.len());
}

#[test]
fn every_stream_keeps_the_events_of_its_publisher() {
    for (service, streams) in Edges::load()
        .unwrap()
        .service
        .iter()
        .map(|(name, at)| (name, &at.streams))
    {
        let events = format!("shequn.{service}.v1.>");
        assert_eq!(
            streams.get(&service.to_uppercase()),
            Some(&events),
            "{service} publishes on a stream of its name"
        );
        for (stream, subjects) in streams.iter().filter(|(_, subjects)| **subjects != events) {
            let work = format!("shequn.work.{service}.>");
            assert_eq!(
                *subjects, work,
                "{stream} is neither {service}'s event stream nor its work queue"
            );
        }
    }
}

#[test]
fn every_durable_listens_to_an_event_that_exists() {
    let edges = Edges::load().unwrap();
    for (listener, service) in &edges.service {
        for (durable, at) in &service.durables {
            assert!(
                durable.starts_with(&format!("{listener}-")),
                "{durable}: name it {listener}-<purpose>"
            );
            let queue = format!("{}.>", at.event);
            let is_work = service.streams.get(&at.stream) == Some(&queue);
            if is_work {
                continue;
            }
            let event = at.event.as_str();
            assert!(
                EVENT_NAMES.contains(&event),
                "{durable}: there is no event {event}; there are {EVENT_NAMES:#?}"
            );
            assert_eq!(
                stream_of(event).as_deref(),
                Some(at.stream.as_str()),
                "{durable}: {event} is on another stream"
            );
        }
    }
}
