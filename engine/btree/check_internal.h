// What makes an image on the medium the child that a parent's slot promises. Shared by load and walk.
#pragma once
#include "engine/btree/tree.h"

namespace cowfs::btree {

// Error btree_pointer_invalid: no image can be there. Reading would overrun a node's memory.
Status check_pointer(const NodePointer& pointer, const format::NodeIdentity& identity);

// `image` as read, block-padded. Errors: as Tree::load(), without the store's.
Status check_image(ByteSpan image, const NodePointer& pointer, const format::NodeIdentity& identity, u8 level,
                   const SlotRange& range);

// The same error with what is known of the place filled in.
Error placed(Error error, const NodePointer& pointer, const format::NodeIdentity& identity);

}  // namespace cowfs::btree
