// How epochs are committed by several cores at once (engine/journal, engine/space). Written as actions of one process,
// each taken whole when its guard holds; crash() is one of them and may come between any two others.
//
//   -DSINGLE      one flush: entries, data and the commit block together; recovery verifies the last epoch
//   (otherwise)   two flushes: data and entries, then the commit block durably
//   -DCRASHES=2   that many crashes, with a session after each (default 1)
//   -DBUG_...     one rule broken, see scripts/check_models; an assertion must fail
//
// What is on the device is kept twice: what a read shows now, and what a power cut is sure to leave. A power cut keeps
// any subset of the differences. A killed process loses nothing that it wrote, and makes nothing durable.
//
// Core 0 writes data; both cores do operations on both. Left out: what is inside an entry but the newest place of a core's
// one file, the reuse of journal space and checkpoints (checkpoint.pml).
#define CORES 2
#define BUCKETS 3   /* of each core; a file of one block that moves at each write */
#define SLOTS 4     /* of the ring of commit blocks */
#define TORN 255    /* a commit block that is neither the old nor the new one */
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef WRITES
#define WRITES 3    /* of data, a session */
#endif
#ifndef PAIRS
#define PAIRS 2     /* operations on both cores */
#endif
#ifndef CLOSES
#define CLOSES 2    /* epochs closed, in all */
#endif
#define EPOCHS (3 + CLOSES + 2 * CRASHES)

// The device.
typedef Bucket { byte cached; byte durable };              // number of the write that filled it
typedef Entry { bool made; bool cached; bool durable;      // of one core and epoch
                byte bucket; byte write;                   // where the file is at its end; bucket 255: not changed
                byte dead_bucket; byte dead_write;         // written and replaced in the same epoch
                byte pair };                               // the newest operation on both cores
typedef Block { byte previous; byte tail[CORES] };         // of one epoch; previous 0: flushed before it was written
typedef OfCore { Bucket bucket[BUCKETS]; Entry entry[EPOCHS] };
OfCore medium[CORES];
Block block[EPOCHS];
byte ring_cached[SLOTS];
byte ring_durable[SLOTS];

// The memory of the cores.
typedef File { byte bucket; byte write; byte pair };
typedef Core {
  byte epoch;
  File file;
  bool changed; bool data_changed;     // in the current epoch
  byte dead_bucket; byte dead_write;
  byte writing;                        // 0: no; 1: under way; 2: the device has it
  byte target; byte number;
  byte freed[BUCKETS];                 // 0: empty; 254: open; 255: live; otherwise the epoch in which it died
  byte tail;                           // epoch of the newest entry
  bool held };
Core core[CORES];
byte closing;      // the epoch that is being closed; 0: none
byte phase;        // of the close
byte current;      // epoch that a close would close next
byte committed;    // what the next block gives as previous
byte told;         // acknowledged to callers, ever
byte pairing;      // 0: no operation on both cores; 1: core 0 holds; 2: core 1 has applied
byte pair_number;
byte writes; byte closes; byte crashes;
byte seen;         // history that a recovery showed
byte refused;      // newest epoch that a recovery refused

#define EACH(i, n, body) i = 0; do :: i < n -> body; i++ :: else -> break od; i = 0
byte i; byte j; byte n; byte h; byte b; bool whole;

inline flush() {
  EACH(i, CORES,
    EACH(j, BUCKETS, medium[i].bucket[j].durable = medium[i].bucket[j].cached);
    EACH(j, EPOCHS, medium[i].entry[j].durable = medium[i].entry[j].cached));
  EACH(i, SLOTS, ring_durable[i] = ring_cached[i])
}

// Each cached difference stays or goes.
inline lose_power() {
  EACH(i, CORES,
    EACH(j, BUCKETS,
      if
      :: medium[i].bucket[j].cached != medium[i].bucket[j].durable ->
         if :: medium[i].bucket[j].durable = medium[i].bucket[j].cached
            :: medium[i].bucket[j].cached = medium[i].bucket[j].durable fi
      :: else fi);
    EACH(j, EPOCHS,
      if
      :: medium[i].entry[j].cached && !medium[i].entry[j].durable ->
         if :: medium[i].entry[j].durable = true :: medium[i].entry[j].cached = false fi
      :: else fi));
  EACH(i, SLOTS,
    if
    :: ring_cached[i] != ring_durable[i] ->
       if :: skip :: ring_cached[i] = ring_durable[i] :: ring_cached[i] = TORN fi;
       ring_durable[i] = ring_cached[i]
    :: else fi)
}

// n: the newest valid block. h: where history ends.
inline recover() {
  n = 0;
  EACH(i, SLOTS, if :: ring_cached[i] != TORN && ring_cached[i] > n -> n = ring_cached[i] :: else fi);
  assert(n > 0);
  whole = true;
  if
  :: block[n].previous > 0 ->
     EACH(i, CORES,
       b = block[n].tail[i];
       if
       :: b > block[n].previous ->
#ifndef BUG_ENTRIES_NOT_VERIFIED
          if :: !medium[i].entry[b].cached -> whole = false :: else fi;
#endif
#ifndef BUG_DATA_NOT_VERIFIED
          if
          :: medium[i].entry[b].bucket != 255 &&
             medium[i].bucket[medium[i].entry[b].bucket].cached != medium[i].entry[b].write -> whole = false
          :: else fi;
#endif
#ifdef BUG_DEAD_DATA_VERIFIED
          if
          :: medium[i].entry[b].dead_bucket != 255 &&
             medium[i].bucket[medium[i].entry[b].dead_bucket].cached != medium[i].entry[b].dead_write -> whole = false
          :: else fi;
#endif
       :: else fi)
  :: else fi;
  if :: whole -> h = n :: else -> h = block[n].previous; refused = n fi;
  b = 0;
  EACH(i, SLOTS, if :: ring_cached[i] == h -> b = 1 :: else fi);
  assert(b == 1);                       // the block before is there
  assert(h >= told);                    // nothing acknowledged is lost
  assert(h >= seen && (h != refused));  // what a recovery decided stays decided
  seen = h;
  EACH(i, CORES, load(); check());
  assert(core[0].file.pair == core[1].file.pair)  // whole epochs
}

// The file of core i as of epoch h: its newest entry, and the one before for what that did not change.
inline load() {
  b = block[h].tail[i];
  core[i].tail = b;
  core[i].file.bucket = 255;
  core[i].file.write = 0;
  core[i].file.pair = 0;
  if :: b > 0 -> assert(medium[i].entry[b].cached); core[i].file.pair = medium[i].entry[b].pair :: else fi;
  do
  :: b > 0 && core[i].file.bucket == 255 ->
     if
     :: medium[i].entry[b].made && medium[i].entry[b].bucket != 255 ->
        assert(medium[i].entry[b].cached);
        core[i].file.bucket = medium[i].entry[b].bucket;
        core[i].file.write = medium[i].entry[b].write
     :: else fi;
     b--
  :: else -> break
  od
}

// The data that the file of core i names is there.
inline check() {
  if
  :: core[i].file.bucket != 255 -> assert(medium[i].bucket[core[i].file.bucket].cached == core[i].file.write)
  :: else fi
}

// What memory held is gone.
inline forget() {
  EACH(i, CORES,
    core[i].epoch = 0; core[i].tail = 0;
    core[i].file.bucket = 255; core[i].file.write = 0; core[i].file.pair = 0;
    core[i].changed = false; core[i].data_changed = false;
    core[i].dead_bucket = 255; core[i].dead_write = 0;
    core[i].writing = 0; core[i].target = 0; core[i].number = 0;
    core[i].held = false;
    EACH(j, BUCKETS, core[i].freed[j] = 0));
  current = 0; committed = 0; closing = 0; phase = 0; pairing = 0; pair_number = 0
}

// The next session. Entries of epochs after h belong to no history any more.
inline start_session() {
  EACH(i, CORES,
    core[i].epoch = n + 2;
    if :: core[i].file.bucket != 255 -> core[i].freed[core[i].file.bucket] = 255 :: else fi;
    EACH(j, EPOCHS, if :: j > h -> medium[i].entry[j].made = false :: else fi));
  pair_number = core[0].file.pair;
  writes = 0;           // the same program runs again: what it writes may be what was lost
  current = n + 2;
  committed = h;
#ifndef BUG_REFUSED_NOT_RETIRED
  if :: h != n -> phase = 10 :: else fi;
#endif
  n = 0; h = 0; b = 0; whole = false
}

inline crash() {
  crashes++;
  d_step { forget() };
  if
  :: lose_power()
  :: skip               // the process was killed
  fi;
#ifndef BUG_NO_FLUSH_AT_MOUNT
  flush();
#endif
  recover();
  if :: crashes < CRASHES -> start_session() :: else -> goto over fi
}

#define MOUNTED (phase < 10)

// A block of history of the epochs up to `of` goes to the place of epoch `e`.
inline name_history(e) {
  EACH(i, CORES, block[e].tail[i] = core[i].tail);
  ring_cached[(e) % SLOTS] = e
}

inline apply_data(c) {
  if
  :: core[c].file.bucket != 255 ->
     core[c].freed[core[c].file.bucket] = core[c].epoch;
     if
     :: core[c].data_changed -> core[c].dead_bucket = core[c].file.bucket; core[c].dead_write = core[c].file.write
     :: else fi
  :: else fi;
  core[c].file.bucket = core[c].target;
  core[c].file.write = core[c].number;
  core[c].freed[core[c].target] = 255;
  core[c].changed = true;
  core[c].data_changed = true;
  core[c].writing = 0; core[c].target = 0; core[c].number = 0
}

// Core c leaves the epoch that is closing, and seals its entry.
inline leave(c) {
  if
  :: core[c].changed ->
     medium[c].entry[closing].made = true;
     medium[c].entry[closing].pair = core[c].file.pair;
     medium[c].entry[closing].bucket = 255;
     medium[c].entry[closing].dead_bucket = core[c].dead_bucket;
     medium[c].entry[closing].dead_write = core[c].dead_write;
     if
     :: core[c].data_changed ->
        medium[c].entry[closing].bucket = core[c].file.bucket;
        medium[c].entry[closing].write = core[c].file.write
     :: else fi;
     core[c].tail = closing
  :: else fi;
  core[c].changed = false;
  core[c].data_changed = false;
  core[c].dead_bucket = 255;
  core[c].dead_write = 0;
  core[c].epoch = closing + 1
}

#ifdef BUG_REUSED_BEFORE_DURABLE
#define EMPTY(c, b) (core[c].freed[b] < 254)
#else
#define EMPTY(c, b) (core[c].freed[b] <= committed)
#endif
#ifdef BUG_CLOSED_WHILE_HELD
#define FREE(c) true
#else
#define FREE(c) (!core[c].held)
#endif
#define LEFT (core[0].epoch > closing && core[1].epoch > closing)
#define WRITTEN(c) (!medium[c].entry[closing].made || medium[c].entry[closing].cached)

// One action of core c.
#define DATA_ACTIONS(c) \
  :: d_step { MOUNTED && core[c].writing == 0 && writes < WRITES && EMPTY(c, 0) -> START(c, 0) } \
  :: d_step { MOUNTED && core[c].writing == 0 && writes < WRITES && EMPTY(c, 1) -> START(c, 1) } \
  :: d_step { MOUNTED && core[c].writing == 0 && writes < WRITES && EMPTY(c, 2) -> START(c, 2) } \
  :: d_step { MOUNTED && core[c].writing == 1 -> \
       medium[c].bucket[core[c].target].cached = core[c].number; core[c].writing = 2 } \
  :: d_step { MOUNTED && core[c].writing == DATA_DONE -> apply_data(c) }

#define CLOSE_ACTIONS(c) \
  :: d_step { MOUNTED && phase == 1 && core[c].epoch == closing && FREE(c) -> leave(c) } \
  :: d_step { MOUNTED && phase >= 1 && closing > 0 && core[c].epoch > closing && !WRITTEN(c) -> \
       medium[c].entry[closing].cached = true }
#define START(c, b) \
  writes++; core[c].writing = 1; core[c].target = b; core[c].number = writes; core[c].freed[b] = 254
#ifdef BUG_KEY_BEFORE_DATA
#define DATA_DONE 1
#else
#define DATA_DONE 2
#endif

init {
  d_step {
    block[1].previous = 0;
    ring_cached[1] = 1;
    ring_durable[1] = 1;
    seen = 1;
    told = 1;
    EACH(i, CORES, EACH(j, EPOCHS, medium[i].entry[j].bucket = 255; medium[i].entry[j].dead_bucket = 255));
    forget();
    n = 0;
    h = 1;
    start_session();
    phase = 0; committed = 1
  }
  do
  DATA_ACTIONS(0)
  CLOSE_ACTIONS(0)
  CLOSE_ACTIONS(1)
  // An operation on both cores, under holds, in one epoch.
  :: d_step { MOUNTED && pairing == 0 && pair_number < PAIRS && phase != 1 -> core[0].held = true; pairing = 1 }
  :: d_step { MOUNTED && pairing == 1 && core[1].epoch == core[0].epoch ->
       core[1].held = true; core[1].file.pair = pair_number + 1; core[1].changed = true; pairing = 2 }
  :: d_step { MOUNTED && pairing == 1 && core[1].epoch > core[0].epoch -> core[0].held = false; pairing = 0 }
  :: d_step { MOUNTED && pairing == 2 ->
       pair_number++; core[0].file.pair = pair_number; core[0].changed = true;
       core[0].held = false; core[1].held = false; pairing = 0 }
  // The close of an epoch.
  :: d_step { phase == 0 && closes < CLOSES -> closes++; closing = current; current++; phase = 1 }
#ifdef SINGLE
  :: d_step { phase == 1 && LEFT ->
       if
       :: medium[0].entry[closing].made || medium[1].entry[closing].made -> block[closing].previous = committed
       :: else -> block[closing].previous = 0
       fi;
       name_history(closing); phase = 4 }
  :: d_step { phase == 4 && WRITTEN(0) && WRITTEN(1) ->
#ifndef BUG_NO_FLUSH
       flush();
#endif
       phase = 5 }
#ifdef BUG_TOLD_BEFORE_FLUSH
  :: d_step { phase == 4 -> told = closing }
#endif
#else
  :: d_step { phase == 1 && LEFT && WRITTEN(0) && WRITTEN(1) ->
#ifndef BUG_NO_FLUSH
       flush();
#endif
       phase = 3 }
  :: d_step { phase == 3 -> block[closing].previous = 0; name_history(closing); phase = 4 }
#ifdef BUG_TOLD_BEFORE_DURABLE
  :: d_step { phase == 4 -> told = closing }
#endif
  :: d_step { phase == 4 -> ring_durable[closing % SLOTS] = ring_cached[closing % SLOTS]; phase = 5 }
#endif
  :: d_step { phase == 5 -> told = closing; committed = closing; closing = 0; phase = 0 }
  // A recovery that refused an epoch retires it: a durable block says that history ends before it.
  :: d_step { phase == 10 -> block[current - 1].previous = 0; name_history(current - 1); phase = 11 }
  :: d_step { phase == 11 ->
       ring_durable[(current - 1) % SLOTS] = current - 1; committed = current - 1; seen = current - 1; phase = 0 }
  :: atomic { crash() }
  od;
over: skip
}
