//! A customers of before, which knows audiences of tags alone: during a rollout they are resolved all the same.

use std::future::ready;

use contracts::customers::v1::{
    StreamAudienceRequest, StreamAudienceResponse, StreamRecipientsRequest, StreamRecipientsResponse,
};
use contracts::packed::pack;
use contracts::{ContactId, MemberId};
use futures::TryStreamExt as _;
use tonic::{Status, Streaming};

use super::Pages;
use crate::audience::Audience;

/// The same question as it was asked before; none if it could not be.
pub(super) fn request(
    message: &StreamRecipientsRequest,
    audience: &Audience,
) -> Option<StreamAudienceRequest> {
    audience.has_tags_alone().then(|| StreamAudienceRequest {
        tags_any: message.tags_any.clone(),
        tags_all: message.tags_all.clone(),
        member_id: message.member_id.clone(),
        cursor: message.cursor.clone(),
    })
}

/// The answer as it is given now.
pub(super) fn pages(pages: Streaming<StreamAudienceResponse>) -> Pages {
    Box::pin(pages.and_then(|page| ready(translate(page))))
}

fn translate(page: StreamAudienceResponse) -> Result<StreamRecipientsResponse, Status> {
    let malformed = |_| Status::internal("an id is no uuid");
    let (mut contacts, mut members) = (vec![], vec![]);
    for entry in &page.entries {
        contacts.push(entry.contact_id.parse::<ContactId>().map_err(malformed)?);
        members.push(entry.member_id.parse::<MemberId>().map_err(malformed)?);
    }
    let places = |is_meant: fn(bool) -> bool| {
        let entries = (0..).zip(&page.entries);
        entries
            .filter_map(move |(place, entry)| is_meant(entry.marketing).then_some(place))
            .collect()
    };
    Ok(StreamRecipientsResponse {
        contact_ids: pack(&contacts),
        member_ids: pack(&members),
        senders: places(|_| true),
        without_marketing: places(|marketing| !marketing),
        not_friends: vec![],
        cursor: page.cursor,
        zones: vec![],
        zone_of: vec![],
        without_email: vec![],
    })
}
