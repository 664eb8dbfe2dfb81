// How one slice's checkpoint, its two header places and the journal's buckets share what commits make durable
// (engine/slice, engine/journal). The slice's state is a number that each change makes one larger.
//
//   -DSINGLE      one flush a commit; recovery verifies the last epoch's entry (data: see group_commit.pml)
//   (otherwise)   two flushes a commit
//   -DBUG_...     one rule broken, see scripts/check_models; an assertion must fail
//
// Actions, the device and power cuts are as in group_commit.pml. A place of the journal holds one entry; a place for
// nodes holds all of a checkpoint's nodes.
#define EPOCHS 7
#define JOURNAL 2   /* places for entries, used in turn */
#define NODES 2     /* places for checkpoints */
#define TORN 255
#ifndef CHANGES
#define CHANGES 3
#endif

typedef Entry { byte place; byte previous; byte state };     // of one epoch; previous: epoch of the entry before it
typedef Block { byte previous; byte tail; byte oldest };     // of one epoch; previous 0: flushed before it was written
typedef Header { byte sequence; byte epoch; byte node; byte state };
Entry entry[EPOCHS];
Block block[EPOCHS];
byte journal_cached[JOURNAL]; byte journal_durable[JOURNAL]; // epoch of the entry that lies there
byte node_cached[NODES]; byte node_durable[NODES];           // epoch of the checkpoint that lies there
Header header_cached[2]; Header header_durable[2];           // sequence TORN: damaged
byte newest_cached = 1; byte newest_durable = 1;             // epoch of the newest commit block
byte committed_state[EPOCHS];                                // what history says

// Memory.
byte state; byte sealed_state;
byte epoch = 2;
bool changed;
byte closing; byte phase; byte durable = 1;
byte tail;                         // epoch of the newest entry
byte place_next; byte used[JOURNAL]; // 0: free; otherwise the epoch of the entry in it
byte step;                         // of the checkpoint; 0: none
byte frozen_epoch; byte frozen_state; byte wait_for; byte target;
Header header;                     // in force
byte changes; byte told = 1;

byte i; byte h; byte b; byte found; byte newest;
#define EACH(i, n, body) i = 0; do :: i < n -> body; i++ :: else -> break od; i = 0

inline flush() {
  EACH(i, JOURNAL, journal_durable[i] = journal_cached[i]);
  EACH(i, NODES, node_durable[i] = node_cached[i]);
  EACH(i, 2, copy_header());
  newest_durable = newest_cached
}
inline copy_header() {
  header_durable[i].sequence = header_cached[i].sequence; header_durable[i].epoch = header_cached[i].epoch;
  header_durable[i].node = header_cached[i].node; header_durable[i].state = header_cached[i].state
}

// Each cached difference stays or goes; afterwards ..._durable is what is there.
inline lose_power() {
  EACH(i, JOURNAL,
    if :: journal_cached[i] != journal_durable[i] ->
          if :: journal_durable[i] = journal_cached[i] :: skip :: journal_durable[i] = 0 fi
       :: else fi);
  EACH(i, NODES,
    if :: node_cached[i] != node_durable[i] ->
          if :: node_durable[i] = node_cached[i] :: skip :: node_durable[i] = 0 fi
       :: else fi);
  EACH(i, 2,
    if :: header_cached[i].sequence != header_durable[i].sequence ->
          if :: copy_header() :: skip :: header_durable[i].sequence = TORN fi
       :: else fi);
  if :: newest_cached != newest_durable -> if :: newest_durable = newest_cached :: skip fi :: else fi
}

inline recover() {
  h = newest_durable;
  if
  :: block[h].previous > 0 && block[h].tail > block[h].previous &&
     journal_durable[entry[block[h].tail].place] != block[h].tail -> h = block[h].previous
  :: else fi;
  assert(h >= told);                                // nothing acknowledged is lost
  newest = 2;
  EACH(i, 2,
    if
    :: header_durable[i].sequence != TORN &&
       (newest == 2 || header_durable[i].sequence > header_durable[newest].sequence) -> newest = i
    :: else fi);
  assert(newest < 2);
  assert(header_durable[newest].epoch <= h);        // the checkpoint is part of history
  assert(header_durable[newest].sequence == 0 ||
         node_durable[header_durable[newest].node] == header_durable[newest].epoch);  // and is there
  // Every entry from the oldest that the block still names to its tail.
  found = header_durable[newest].state;
  b = block[h].tail;
  if :: b > header_durable[newest].epoch -> found = entry[b].state :: else fi;
  do
  :: b > 0 && b >= block[h].oldest -> assert(journal_durable[entry[b].place] == b); b = entry[b].previous
  :: else -> break
  od;
  assert(b <= header_durable[newest].epoch);        // history reaches back to the checkpoint
  assert(found == committed_state[h])
}

// The epoch is left: its entry is sealed, its place is taken, and a checkpoint that waits freezes the trees.
inline leave() {
  sealed_state = state;
  committed_state[closing] = state;
  if
  :: changed ->
     entry[closing].place = place_next; entry[closing].previous = tail; entry[closing].state = state;
     used[place_next] = closing; tail = closing; place_next = (place_next + 1) % JOURNAL
  :: else fi;
  if :: step == 1 -> step = 2; frozen_epoch = closing; frozen_state = state; wait_for = closing :: else fi;
  block[closing].tail = tail;
#ifdef BUG_OLDEST_FROM_FREEZE
  block[closing].oldest = (step > 0 && frozen_epoch > 0 -> frozen_epoch + 1 : header.epoch + 1);
#else
  block[closing].oldest = header.epoch + 1;
#endif
  block[closing].previous = 0;
#ifdef SINGLE
  if :: changed -> block[closing].previous = closing - 1 :: else fi;
#endif
  changed = false;
  epoch = closing + 1
}

inline published() {
  durable = closing;
  told = closing;
  EACH(i, JOURNAL, if :: used[i] > 0 && used[i] < block[closing].oldest -> used[i] = 0 :: else fi);
  closing = 0;
  phase = 0
}

#ifdef BUG_ENTRY_PLACE_REUSED_EARLY
#define ROOM (used[place_next] == 0 || used[place_next] <= frozen_epoch)
#else
#define ROOM (used[place_next] == 0)
#endif
#define DURABLE (durable >= wait_for)

init {
  d_step { block[1].oldest = 2; header_cached[1].sequence = TORN; header_durable[1].sequence = TORN }
  do
  :: d_step { changes < CHANGES && (changed || ROOM) -> changes++; state++; changed = true }
  // A commit.
  :: d_step { phase == 0 && epoch < EPOCHS && (changed || step > 0) -> closing = epoch; phase = 1 }
  :: d_step { phase == 1 -> leave(); phase = 2 }
  :: d_step { phase == 2 ->
       if :: tail == closing -> journal_cached[entry[closing].place] = closing :: else fi;
       phase = 3 }
#ifdef SINGLE
  :: d_step { phase == 3 -> newest_cached = closing; phase = 4 }
  :: d_step { phase == 4 -> flush(); phase = 5 }
#else
  :: d_step { phase == 3 -> flush(); phase = 4 }
  :: d_step { phase == 4 -> newest_cached = closing; phase = 6 }
  :: d_step { phase == 6 -> newest_durable = newest_cached; phase = 5 }
#endif
  :: d_step { phase == 5 -> published() }
  // A checkpoint: freeze with the next epoch, write nodes, commit, write the header, commit.
  :: d_step { step == 0 && header.sequence < 2 -> step = 1 }
  :: d_step { step == 2 && DURABLE -> step = 3; target = (header.sequence + 1) % NODES }
  :: d_step { step == 3 -> node_cached[target] = frozen_epoch; step = 4; wait_for = epoch }
#ifdef BUG_HEADER_BEFORE_NODES
  :: d_step { step == 4 ->
#else
  :: d_step { step == 4 && DURABLE ->
#endif
#ifdef BUG_HEADER_IN_PLACE
       i = 0;
#else
       i = (header.sequence + 1) % 2;
#endif
       header_cached[i].sequence = header.sequence + 1; header_cached[i].epoch = frozen_epoch;
       header_cached[i].node = target; header_cached[i].state = frozen_state;
       i = 0; step = 5; wait_for = epoch }
#ifdef BUG_HEADER_NOT_COMMITTED
  :: d_step { step == 5 ->
#else
  :: d_step { step == 5 && DURABLE ->
#endif
       header.sequence = header.sequence + 1; header.epoch = frozen_epoch; step = 0 }
  // The space of the checkpoint before is given to data, which may be written at once.
  :: d_step { step == 0 && header.sequence > 0 && node_cached[(header.sequence + 1) % NODES] != 0 ->
       node_cached[(header.sequence + 1) % NODES] = 0 }
  :: atomic { lose_power(); recover(); goto over }
  od;
over: skip
}
