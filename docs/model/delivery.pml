/* The protocol of a delivery, for SPIN: one visit and one card, two operations, two workers, a crash at any step.
 *
 * The first operation takes points, the second takes them as well or gives them back. Altegio carries a POST out now, later
 * or never, and answers or does not; a read may lag behind. A person retries, stops, decides, and clicks in Altegio's own
 * screen. Each step that changes the row of an operation names the function of `delivery/transitions.py` that it stands
 * for, in a comment that begins with "step".
 *
 * Time is what it allows: "settled" can come only once nothing is on its way any more and no read lags, which is what
 * assumptions 2 to 5 of docs/reliability.md say together. Each assumption, and each guard of the delivery, can be dropped:
 * docs/model/README.md says how, and what becomes of it.
 */

#define APPLY  0
#define CANCEL 1
#define NONE      0
#define PENDING   1
#define SENDING   2
#define IN_DOUBT  3
#define SUCCEEDED 4
#define REJECTED  5
#define FAILED    6
#define ABANDONED 7
#define NOTHING_TO_CANCEL 8 /* succeeded, with nothing done */

#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef EXPIRIES
#define EXPIRIES 1  /* leases that end while the worker lives */
#endif
#ifndef CLICKS
#define CLICKS 1
#endif
#ifndef BAD_READS
#define BAD_READS 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif

typedef Row {
  byte status;
  bit kind;
  byte owner;        /* who holds the claim: 0 nobody, else a worker; it stands for the fencing number */
  bit lease_over;
  bit orphaned;      /* who holds the claim has crashed */
  bit marked;        /* sent_at: the POST of this claim may have left */
  bit unanswered;    /* unanswered_at: a POST stayed without an answer */
  bit settled;       /* SETTLE_SECONDS have passed since */
  bit stopping;
  bit word;          /* ended by a person's word that it did not happen */
  bit others_since;  /* another one was done on this visit and card since the unanswered POST */
  byte attempts;
  byte limit
};
Row row[2];

/* Altegio */
byte on_visit[2];    /* points of each operation that are on the visit now */
bit foreign;         /* points that somebody took in Altegio's own screen */
byte effects[2];     /* how often each operation took effect, ever */
byte on_the_way[2];  /* POSTs that left and neither took effect nor came to nothing */
bit is_fresh[2];     /* its effect came so little time ago that a read may lag behind it */
byte seen_last;      /* what the visit showed before those effects */

/* The world */
byte crashes = CRASHES, expiries = EXPIRIES, clicks = CLICKS, bad_reads = BAD_READS, retries = RETRIES;
bit late[3];         /* the lease of its claim is over, by its own clock */
byte held_up[2];     /* workers between the last check of their lease and the send */

#define IS_FRESH (is_fresh[0] || is_fresh[1])
#define SHOWN (on_visit[0] + on_visit[1] + foreign)
#define IS_OPEN(o) (row[o].status == PENDING || row[o].status == SENDING || row[o].status == IN_DOUBT)
#ifdef EARLY_WORD
#define HOLDS_CARD(o) IS_OPEN(o)
#else
#define HOLDS_CARD(o) (IS_OPEN(o) || (row[o].status == FAILED && row[o].word && row[o].unanswered && !row[o].settled))
#endif
#define IS_DONE(o, shown) ((row[o].kind == APPLY) == (shown > 0))
#ifdef NO_FENCE
#define HOLDS(o) true
#else
#define HOLDS(o) (row[o].owner == me)
#endif

/* What an operation's POST does at Altegio. */
inline take_effect(o) {
  if
  :: !IS_FRESH -> seen_last = SHOWN
  :: else -> skip
  fi;
  is_fresh[o] = 1;
  if
  :: row[o].kind == APPLY -> on_visit[o] = on_visit[o] + 1; effects[o] = effects[o] + 1
  :: row[o].kind == CANCEL && SHOWN > 0 ->
     on_visit[0] = 0; on_visit[1] = 0; foreign = 0; effects[o] = effects[o] + 1
  :: row[o].kind == CANCEL && SHOWN == 0 -> skip
  fi;
  assert(effects[o] <= 1) /* doubled */
}

/* The end of an operation: what the log says must be what happened. */
inline closed(o) {
  row[o].owner = 0; row[o].lease_over = 0; row[o].orphaned = 0;
  if
  :: row[o].status == SUCCEEDED ->
     row[1 - o].others_since = 1;
     assert(effects[o] == 1) /* invented */
  :: else ->
     /* denied: what is still on its way may be, only if a person said so early */
     assert(effects[o] == 0);
     assert(row[o].status != NOTHING_TO_CANCEL || SHOWN == 0);
     assert(on_the_way[o] == 0 || row[o].word)
  fi
}

/* Assumption 3: a read may lag behind, but by less than the time to settle. */
#ifdef LAG
#define MAY_LAG true
#else
#define MAY_LAG IS_FRESH
#endif

inline read_visit(shown) {
  began_fresh = is_fresh[1 - o];
  if
  :: shown = SHOWN
  :: MAY_LAG -> shown = seen_last
  fi
}
/* step: did_not_happen, waits_for_tokens, waits_for_location */
inline try_again_or_end(o, uses_attempt) {
  row[o].attempts = row[o].attempts - (1 - uses_attempt);
  if
  :: row[o].stopping -> row[o].status = ABANDONED; closed(o)
  :: !row[o].stopping && row[o].attempts >= row[o].limit -> row[o].status = FAILED; closed(o)
  :: else -> row[o].status = PENDING; row[o].owner = 0
  fi
}

/* step: put_in_doubt */
inline put_in_doubt(o) {
  row[o].status = IN_DOUBT; row[o].owner = 0;
  row[o].unanswered = 1; row[o].settled = 0; row[o].others_since = 0
}

#define CRASH crashes--; row[0].orphaned = row[0].orphaned || row[0].owner == me; row[1].orphaned = row[1].orphaned || row[1].owner == me
#define MAY_CRASH :: atomic { crashes > 0 -> CRASH; goto idle }
/* What is on its way of an earlier POST is only waited for where the row may be sent again. */
#define IS_DUE(o) (row[o].status == PENDING && (!row[o].unanswered || row[o].settled))

#ifdef NO_SECOND_LOOK
#define LOOKS_AGAIN(o) false
#else
#define LOOKS_AGAIN(o) (row[1 - o].status == SUCCEEDED && row[1 - o].kind == APPLY && began_fresh)
#endif

/* A look-up may show what was before another one took back, or applied, what this one applies, or takes back. */
#ifdef NO_THIRD_LOOK
#define MAY_BE_OF_BEFORE(o) false
#else
#define MAY_BE_OF_BEFORE(o) (!began_settled && began_fresh && row[1 - o].status == SUCCEEDED && row[1 - o].kind != row[o].kind)
#endif

/* Claims are conditional updates of the row: */
/* step: claimed_to_send */
#define CLAIM_TO_SEND(n) \
  :: atomic { IS_DUE(n) -> o = n; row[n].status = SENDING; row[n].owner = me; row[n].lease_over = 0; row[n].orphaned = 0; late[me] = 0; \
       row[n].marked = 0; row[n].attempts = row[n].attempts + 1; goto claimed }
/* step: claimed_to_look */
#define CLAIM_TO_LOOK(n) \
  :: atomic { row[n].status == IN_DOUBT && (row[n].owner == 0 || row[n].lease_over) -> o = n; \
       row[n].owner = me; row[n].lease_over = 0; row[n].orphaned = 0; late[me] = 0; began_settled = row[n].settled; goto look_up }
/* step: recovered */
#define RECOVER(n) \
  :: atomic { row[n].status == SENDING && row[n].lease_over -> row[n].status = IN_DOUBT; row[n].owner = 0; \
       if \
       :: row[n].marked -> row[n].unanswered = 1; row[n].settled = 0; row[n].others_since = 0 \
       :: else -> skip \
       fi; goto idle }

proctype Worker(byte me) {
  byte o, shown;
  bit began_settled, began_fresh;
idle:
  o = 0; shown = 0; began_settled = 0; began_fresh = 0;
end: /* nothing is due */
  if
  CLAIM_TO_SEND(0)
  CLAIM_TO_SEND(1)
  CLAIM_TO_LOOK(0)
  CLAIM_TO_LOOK(1)
  RECOVER(0)
  RECOVER(1)
  fi;

claimed:
  if
  :: true -> skip
  MAY_CRASH
  fi;
#ifdef NO_LOOK
  shown = (row[o].kind == APPLY -> 0 : 1); /* as if it were never as wanted */
#else
  /* the look */
  if
  :: atomic { read_visit(shown) }
  :: atomic { bad_reads > 0 -> bad_reads--; goto not_sent }
  MAY_CRASH
  fi;
#endif
  if
  :: atomic { IS_DONE(o, shown) -> goto as_wanted }
  :: atomic { !IS_DONE(o, shown) && row[o].kind == APPLY && LOOKS_AGAIN(o) -> goto look_again }
  :: else -> skip
  fi;
  if /* step: marked */
  :: atomic { HOLDS(o) && !row[o].lease_over -> row[o].marked = 1 }
  :: atomic { !HOLDS(o) || row[o].lease_over -> goto idle }
  MAY_CRASH
  fi;
  if /* the last check of the lease */
  :: atomic { !late[me] -> held_up[o] = held_up[o] + 1 }
  :: atomic { late[me] -> goto not_sent }
  MAY_CRASH
  fi;
  if
  :: d_step { held_up[o] = held_up[o] - 1; on_the_way[o] = on_the_way[o] + 1 }
  :: atomic { crashes > 0 -> CRASH; held_up[o] = held_up[o] - 1; goto idle }
  fi;
  if
  :: atomic { on_the_way[o] > 0 -> on_the_way[o] = on_the_way[o] - 1; take_effect(o); goto answered }
  :: atomic { on_the_way[o] > 0 -> on_the_way[o] = on_the_way[o] - 1; goto refused } /* Altegio says no */
  :: atomic { on_the_way[o] > 0 -> on_the_way[o] = on_the_way[o] - 1; goto not_sent } /* a limit: certainly not done */
  :: atomic { true -> goto no_answer }
  MAY_CRASH
  fi;

answered: /* step: succeeded */
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING -> row[o].status = SUCCEEDED; closed(o); goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

refused: /* step: refused */
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING -> row[o].status = REJECTED; closed(o); goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

not_sent:
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING -> try_again_or_end(o, 1); goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

no_answer:
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING -> put_in_doubt(o); goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

as_wanted: /* step: found, already_there, nothing_to_cancel, nothing_left */
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING && !(row[o].kind == CANCEL && !row[o].unanswered && LOOKS_AGAIN(o)) ->
       if
       :: row[o].unanswered && (row[o].kind == CANCEL || !row[o].others_since || shown > 1) && !(row[o].kind == CANCEL && row[o].others_since) ->
          row[o].status = SUCCEEDED
       :: else ->
          row[o].status = (row[o].kind == CANCEL -> NOTHING_TO_CANCEL : REJECTED)
       fi;
       closed(o); goto idle }
  :: atomic { row[o].kind == CANCEL && !row[o].unanswered && LOOKS_AGAIN(o) -> goto look_again }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

look_again: /* step: looked_at_again; what was applied moments ago may not show yet */
  if
  :: atomic { HOLDS(o) && row[o].status == SENDING -> try_again_or_end(o, 0); goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == SENDING) -> goto idle }
  MAY_CRASH
  fi;

look_up:
  if
  :: atomic { read_visit(shown) }
  :: atomic { bad_reads > 0 -> bad_reads--; goto still_in_doubt }
  MAY_CRASH
  fi;
  if
  :: atomic { HOLDS(o) && row[o].status == IN_DOUBT ->
       if
       :: row[o].marked && IS_DONE(o, shown) && !MAY_BE_OF_BEFORE(o) -> /* step: found */
          row[o].status = SUCCEEDED; closed(o); goto idle
       :: row[o].marked && !IS_DONE(o, shown) && began_settled ->
          try_again_or_end(o, 1); goto idle
       :: row[o].marked && !IS_DONE(o, shown) && !began_settled -> skip
       :: row[o].marked && IS_DONE(o, shown) && MAY_BE_OF_BEFORE(o) -> skip
       :: !row[o].marked && row[o].unanswered && IS_DONE(o, shown) && !row[o].others_since ->
          row[o].status = SUCCEEDED; closed(o); goto idle
       :: !row[o].marked && !(row[o].unanswered && IS_DONE(o, shown) && !row[o].others_since) &&
          (!row[o].unanswered || began_settled) ->
          try_again_or_end(o, 1); goto idle
       :: !row[o].marked && !(row[o].unanswered && IS_DONE(o, shown) && !row[o].others_since) &&
          row[o].unanswered && !began_settled -> skip
       fi }
  :: atomic { !(HOLDS(o) && row[o].status == IN_DOUBT) -> goto idle }
  MAY_CRASH
  fi;
still_in_doubt: /* step: still_in_doubt */
  if
  :: atomic { HOLDS(o) && row[o].status == IN_DOUBT -> row[o].owner = 0; goto idle }
  :: atomic { !(HOLDS(o) && row[o].status == IN_DOUBT) -> goto idle }
  MAY_CRASH
  fi;
}

/* What left a worker takes effect after it stopped waiting for it, or never does. */
proctype Altegio() {
end:
  do
  :: atomic { IS_FRESH -> is_fresh[0] = 0; is_fresh[1] = 0; seen_last = 0 }
  :: atomic { on_the_way[0] > 0 -> on_the_way[0] = on_the_way[0] - 1;
       if
       :: take_effect(0)
       :: skip
       fi }
  :: atomic { on_the_way[1] > 0 -> on_the_way[1] = on_the_way[1] - 1;
       if
       :: take_effect(1)
       :: skip
       fi }
  od
}

/* The time to settle is over: by assumptions 2 to 5 nothing can arrive any more. */
#define NOTHING_CAN_ARRIVE(o) !IS_FRESH && (IS_LATE_ALLOWED || on_the_way[o] == 0) && (IS_HOLD_UP_ALLOWED || held_up[o] == 0)
#ifdef LATE
#define IS_LATE_ALLOWED true
#else
#define IS_LATE_ALLOWED false
#endif
#ifdef HELD_UP
#define IS_HOLD_UP_ALLOWED true
#else
#define IS_HOLD_UP_ALLOWED false
#endif

#ifdef SLOW
#define MAY_END true
#else
#define MAY_END (expiries > 0)
#endif

proctype Time(byte o) {
end:
  do
  :: atomic { row[o].unanswered && !row[o].settled && NOTHING_CAN_ARRIVE(o) -> row[o].settled = 1 }
  :: atomic { row[o].owner != 0 && !row[o].lease_over && (row[o].orphaned || MAY_END) ->
       if
       :: !row[o].orphaned && expiries > 0 -> expiries--
       :: else -> skip
       fi;
       row[o].lease_over = 1; late[row[o].owner] = 1 }
#ifdef LOST_COMMIT
  :: atomic { row[o].marked -> row[o].marked = 0 }
#endif
  od
}

/* Assumption 6. */
#ifdef CLICK
#define MAY_CLICK (clicks > 0)
#else
#define IS_PART_OF_A_DOUBT(o) (HOLDS_CARD(o) || (row[o].status == FAILED && row[o].unanswered && retries > 0))
#define MAY_CLICK (clicks > 0 && !IS_PART_OF_A_DOUBT(0) && !IS_PART_OF_A_DOUBT(1))
#endif

inline click() {
  clicks--;
  seen_last = 0; is_fresh[0] = 0; is_fresh[1] = 0; /* a click in the moment of a look is told of on the page as what nobody can tell apart */
  if
  :: foreign = 1
  :: on_visit[0] = 0; on_visit[1] = 0; foreign = 0
  fi
}

/* Those who ask, stop, retry and decide; and somebody at Altegio's own screen. */
proctype People() {
  byte o;
end:
  do
  :: atomic { row[0].status == NONE -> /* step: asked */ row[0].kind = APPLY; row[0].status = PENDING; row[0].limit = ATTEMPTS }
  :: atomic { row[0].status != NONE && row[1].status == NONE && !HOLDS_CARD(0) ->
       row[1].status = PENDING; row[1].limit = ATTEMPTS;
       if
       :: row[1].kind = APPLY
       :: row[1].kind = CANCEL
       fi }
  :: atomic { MAY_CLICK -> click() }
  :: atomic { retries > 0 -> retries--;
       if
       :: o = 0
       :: o = 1
       fi;
       if
       :: row[o].status == FAILED && !HOLDS_CARD(1 - o) -> /* step: retried */
          row[o].status = PENDING; row[o].limit = row[o].attempts + 1; row[o].stopping = 0; row[o].word = 0; row[o].owner = 0
       :: row[o].status == PENDING && !row[o].unanswered -> /* step: stopped, out_of_time */
          row[o].status = ABANDONED; closed(o)
       :: row[o].status == IN_DOUBT || (row[o].status == PENDING && row[o].unanswered) ->
          /* step: stopping, brought_forward */
          if
          :: row[o].status == PENDING -> row[o].marked = 0
          :: else -> skip
          fi;
          row[o].status = IN_DOUBT; row[o].stopping = 1; row[o].owner = 0
       :: row[o].status == IN_DOUBT -> /* step: decided; a person who sees the visit */
          row[o].owner = 0; row[o].word = 1;
          row[o].status = (effects[o] > 0 -> SUCCEEDED : FAILED); closed(o)
       :: else -> skip /* step: closed; that somebody looked into what has ended changes nothing here */
       fi;
       o = 0 }
  od
}

init {
  atomic {
    run Worker(1); run Worker(2); run Altegio(); run Time(0); run Time(1); run People()
  }
}

/* Nothing stays open for ever, given that whoever can act acts in the end. */
ltl ends { [] (IS_OPEN(0) -> <> !IS_OPEN(0)) && [] (IS_OPEN(1) -> <> !IS_OPEN(1)) }
