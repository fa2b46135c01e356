//! Many ids in one field: 16 bytes each, without a gap. A page of 10,000 costs one allocation, not 10,000 texts.

use uuid::Uuid;

const ID_BYTES: usize = 16;

/// Ids as a field of bytes carries them.
#[must_use]
pub fn pack<T: Copy + Into<Uuid>>(ids: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() * ID_BYTES);
    for &id in ids {
        let id: Uuid = id.into();
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

/// The ids in a field of bytes; none if it holds half an id.
#[must_use]
pub fn unpack<T: From<Uuid>>(bytes: &[u8]) -> Option<Vec<T>> {
    let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
    rest.is_empty()
        .then(|| ids.iter().map(|id| Uuid::from_bytes(*id).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContactId;

    #[test]
    fn what_is_packed_is_unpacked() {
        let ids: Vec<_> = (0..3).map(|_| ContactId::new()).collect();
        let mut bytes = pack(&ids);
        assert_eq!(unpack::<ContactId>(&bytes), Some(ids));
        assert_eq!(unpack::<ContactId>(&[]), Some(vec![]));
        bytes.pop();
        assert_eq!(unpack::<ContactId>(&bytes), None);
    }
}
