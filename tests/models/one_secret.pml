/* One item: the versions of its secret, its PATs, two runners, a person, a consumer (docs/proof.md).
 *
 * Every call to a service is one atomic step. Between any two steps the other runner, the person and the clock may go
 * on, and a runner may be killed. A call may be done, be refused in the service's own words, or be lost after its
 * effect (a foreign answer is the same thing to who asked). Numbers of rules and promises are those of docs/rules.md.
 *
 * What a runner may know is kept apart from what is true: `value` is what a version really holds, `named` and `expires`
 * are what its metadata says. Only promises look at `value`; a runner hands it on without reading it.
 */

/* --- what a configuration chooses ---------------------------------------------------------------------------------
 *
 * FIRST and SECOND runner do one of the kinds; without SECOND there is one runner. LEASES, CONSUMER, OWNERS (pats.yaml may
 * name another user) are on when defined, and so is each ACT_… of the person. LEAKED_AT: `published_before` of an
 * emergency, else its arrival. LATE_IS_MENDED: claims it of late writes too. MUTANT_… takes a rule away, LETTER_… reads
 * one to the letter.
 */

#define TIMER 0
#define FORCE 1
#define EMERGENCY 2
#define RENEW 3
#define DECOMMISSION 4
#define TAKE_BACK 5 /* rotate --force --adopt */

#ifndef FIRST
#define FIRST TIMER
#endif
#ifndef HISTORY
#define HISTORY 2 /* versions at the beginning: each the predecessor of the next */
#endif
#ifndef OVERLAP
#define OVERLAP 2
#endif
#ifndef FAULTS
#define FAULTS 1 /* answers that are lost or foreign, and refusals, in all */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef EDITS
#define EDITS 0 /* what the person does, in all */
#endif
#ifndef TICKS
#define TICKS 3
#endif
#ifndef MOST
#define MOST 3 /* predecessors in the tag */
#endif

#define PATS 7
#define VERSIONS 7
#define WITHIN 1 /* the age of a PAT up to which it is published: five minutes */
#define ORPHAN_AGE 2 /* two hours: more than WITHIN; an overlap may be shorter or longer */
#define START 4
#define END (START + TICKS)

/* PATs are 1..PATS; these are ids that patrol did not mint. */
#define NONE 0
#define STRANGER 8 /* a live PAT of the same user, without our mark */
#define UNKNOWN 9 /* an id that the API does not know */

#define AT_ONCE 255 /* `id@time!` */

#define BIT(n) (1 << (n))
#define IN(set, n) (((set) >> (n)) & 1)
#define PRED(v, p) pred[(v) * (PATS + 1) + (p)]

/* --- what is true ------------------------------------------------------------------------------------------------- */

byte now = START;

byte minted; /* PATs 1..minted exist */
byte born[PATS + 1]; /* validFrom */
short alive = BIT(STRANGER);
short marked; /* carries our mark for this secret */
short by_hand; /* ended by the person */

byte versions; /* 1..versions exist; the last one is current */
byte value[VERSIONS + 1]; /* which PAT it holds */
byte created[VERSIONS + 1];
short pasted; /* written by the person */
short late; /* written by patrol later than WITHIN after minting: the network may deliver hours late */

/* metadata, which a person or a tool can write without the value */
byte named[VERSIONS + 1]; /* tag authorization-id; NONE: no mark */
byte expires[VERSIONS + 1]; /* the PAT whose validTo `expires_on` equals; NONE: nobody's */
byte pred[(VERSIONS + 1) * (PATS + 1)]; /* tag predecessors: 0, retire-at, or AT_ONCE */
short readable;
#ifdef CONSUMER
short pushed; /* tag pushed-to */
byte copy; /* the PAT whose value the consumer has */
bool slow_push; /* a push was overtaken, and has put an older value back */
#endif
#ifdef OWNERS
short second_owner; /* minted as the second user */
bool owner; /* whom pats.yaml names now: false the first user, true the second */
#endif

byte leaked_before; /* an emergency was asked to end what was born before this */
byte faults = FAULTS;
byte kills = KILLS;
byte edits = EDITS;
byte over; /* runners that ended */
bool decommissioned;
bool undisturbed; /* the last run: nothing else happens */

#ifdef LEASES
byte lease; /* who has it */
byte leased_at;
#endif

#ifdef CONSUMER
/* The consumer lacks the value: the tag is missing, or on a full look it says that what it has does not work. */
#ifdef MUTANT_S14
#define OWED !IN(pushed, base)
#else
#define OWED (!IN(pushed, base) || (kind == TIMER && !IN(alive, copy)))
#endif
/* Before anything ends that it may use, it is given the current value, whatever the tag says. */
#ifdef LETTER_PUSHED_TO
#define HAS_TAKEN(v) IN(pushed, v)
#else
#define HAS_TAKEN(v) (pushed_now == (v))
#endif
#endif

/* What a counterexample shows; a verification runs it for nothing. */
#define TEXT(text) #text
#define SAY(what, which) printf(TEXT(at %d runner %d: what %d\n), now, me, which)

/* Scratch of deterministic steps: set and used within one d_step, no part of the state. */
hidden byte i, h, n, ok;

/* --- what metadata says (rules 4, 7, 8, 10) ----------------------------------------------------------------------- */

/* CAN_HOLD: a version can hold a PAT that was there when it was written, unless its expiry is another PAT's (rule 4).
 * AGREED: both witnesses, tag and expiry, name one PAT. */
#ifdef MUTANT_S6_TAGS
#define CAN_HOLD(v, p) false
#define AGREED(v) true
#else
#ifdef LETTER_RULE_4
#define COPIED(v) false
#else
/* A PAT explains one version: an expiry that an older version has already was copied, and explains nothing. */
#define AS(v, u) ((v) > u && expires[v] == expires[u])
#define COPIED(v) (AS(v, 1) || AS(v, 2) || AS(v, 3) || AS(v, 4) || AS(v, 5) || AS(v, 6))
#endif
#define AGREED(v) (expires[v] == named[v] && !COPIED(v))
#define CAN_HOLD(v, p) (created[v] >= born[p] && (expires[v] == NONE || expires[v] == (p) || COPIED(v)))
#endif

/* h = the last version that names or can hold p; 0: none. */
inline find_holder(p) {
  h = versions;
  do
  :: h > 0 && named[h] != (p) && !CAN_HOLD(h, p) -> h--
  :: else -> break
  od;
  skip
}

/* h = the last version that names p by either witness; 0: none. */
inline find_named(p) {
  h = versions;
  do
  :: h > 0 && named[h] != (p) && expires[h] != (p) -> h--
  :: else -> break
  od;
  skip
}

/* ok = version v is not what patrol wrote, or nobody can tell (rules 4 and 10). Two witnesses: the tag, the expiry. */
inline find_edited(v) {
#ifdef MUTANT_S6_TAGS
  ok = (named[v] == NONE);
#else
  ok = (named[v] == NONE || (expires[v] != NONE && expires[v] != named[v]));
  if
  :: !ok && !IN(alive & marked, named[v]) ->
     i = 1;
     do
     :: i <= minted -> ok = ok || (IN(alive & marked, i) && CAN_HOLD(v, i)); i++
     :: else -> break
     od
  :: else
  fi
#endif
}

/* ok = the overlap of p is over: it counts from the vault's word for its successor, however late the write arrived. */
inline find_over(p) {
  find_holder(p);
  ok = (h > 0 && h < versions && now >= created[h + 1] + OVERLAP)
}

/* ok = predecessor p in the tag of the newest version may be ended now. */
inline find_due(p) {
  if
  :: PRED(versions, p) == AT_ONCE -> ok = true
#ifdef MUTANT_S8
  :: PRED(versions, p) != AT_ONCE && PRED(versions, p) <= created[versions] -> ok = true /* inferred from two times */
#endif
  :: else -> find_over(p); ok = ok && now >= PRED(versions, p)
  fi;
  ok = ok && PRED(versions, p) != 0 && named[versions] != (p);
#ifndef MUTANT_RULE_7
  ok = ok && IN(marked, p)
#endif
}

/* --- promises ----------------------------------------------------------------------------------------------------- */

#define CURRENT value[versions]
#define LEAKED(p) (born[p] <= leaked_before)

#define PROMISE_1_CURRENT_IS_LIVE \
  (IN(alive, CURRENT) || IN(by_hand, CURRENT) || IN(late, versions) || decommissioned)
#ifdef CONSUMER
#define PROMISE_1_PUSHED_MEANS_LIVE \
  (!IN(pushed, versions) || IN(alive, copy) || IN(by_hand, copy) || IN(late, versions) || slow_push || decommissioned)
#else
#define PROMISE_1_PUSHED_MEANS_LIVE true
#endif
#define PROMISE_4_STRANGER_LIVES IN(alive, STRANGER)
#define RULE_7_NEWEST_IS_READABLE (IN(readable, versions) || decommissioned)

active proctype Promises() {
end:
  atomic {
    versions > 0 && !(PROMISE_1_CURRENT_IS_LIVE && PROMISE_1_PUSHED_MEANS_LIVE && PROMISE_4_STRANGER_LIVES
      && RULE_7_NEWEST_IS_READABLE);
    assert(PROMISE_1_CURRENT_IS_LIVE);
    assert(PROMISE_1_PUSHED_MEANS_LIVE);
    assert(PROMISE_4_STRANGER_LIVES);
    assert(RULE_7_NEWEST_IS_READABLE)
  }
}

/* patrol ends p. `judged`: how many versions there were when it was judged. What a person or a late write puts on top
 * between the judging and the call cannot be seen. */
inline end_pat(p, judged) {
  SAY(ends, p);
  h = versions;
  do
  :: h > 0 && value[h] != (p) -> h--
  :: else -> break
  od;
  if
  :: !IN(alive, p) || decommissioned
  :: IN(alive, p) && !decommissioned && h > judged && IN(pasted | late, h) -> by_hand = by_hand | (IN(pasted, h) << p)
  :: else ->
     assert(h != versions); /* promise_1: never what is current */
     /* nor before its successor has been current for the whole overlap, an emergency excepted */
     assert(h == 0 || LEAKED(p) || now >= created[h + 1] + OVERLAP); /* promise_1: the whole overlap */
#ifdef CONSUMER
     assert(copy != (p) || slow_push || LEAKED(p)) /* promise_1: nor what the consumer still has */
#endif
  fi;
  alive = alive & ~BIT(p)
}

/* rule_8: what holds when an emergency says done. `seen`: the versions that its last look saw. */
inline check_emergency(before, seen) {
  SAY(says done published before, before);
  i = 1;
  do
  :: i <= minted ->
     h = seen - 1;
     do
     :: h > 0 && value[h] != i -> h--
     :: else -> break
     od;
     assert(h == 0 || !IN(alive, i) || born[i] >= before || i == value[seen]); /* rule_8: what leaked is dead */
     i++
  :: else -> break
  od;
  i = 1;
  do
  :: i < seen -> assert(!IN(readable, i) || named[i] == NONE); i++ /* rule_8: and cannot be read */
  :: else -> break
  od;
  i = 0
}

/* promises 1, 2 and 3, after a run that nothing disturbed */
inline check_at_rest() {
  find_edited(versions);
  if
  :: decommissioned ->
     i = 1;
     do
     :: i <= minted -> assert(!IN(alive & marked, i) || now - born[i] < ORPHAN_AGE || ok); i++ /* promise_2 */
     :: else -> break
     od
  :: !decommissioned && ok -> assert(edits < EDITS) /* promise_3: only a person makes it `edited` */
  :: else ->
     assert(IN(alive, CURRENT) || (IN(late, versions) && edits < EDITS)); /* promise_3: the next run converges */
     i = 1;
     do
     :: i <= minted ->
        find_holder(i);
        ok = (h == versions || (h > 0 && now < created[h + 1] + OVERLAP));
        ok = ok || (PRED(versions, i) != 0 && PRED(versions, i) > now && PRED(versions, i) != AT_ONCE);
        ok = ok || (PRED(versions, i) == 0 && now - born[i] < ORPHAN_AGE);
        assert(ok || !IN(alive & marked, i)); /* promise_2: no leftovers */
        i++
     :: else -> break
     od;
#ifdef CONSUMER
     assert(IN(alive, copy)) /* promise_1: what the consumer has is live */
#endif
  fi
}

/* --- a runner ----------------------------------------------------------------------------------------------------- */

#define DIES \
  if \
  :: kills > 0 && !undisturbed -> kills--; SAY(is killed, 0); goto gone \
  :: true \
  fi
#define FAULT faults > 0 && !undisturbed -> faults--

/* Renewed is what both witnesses name; where they do not agree, a rotation is always safe. */
#ifdef MUTANT_S6_RENEW
#define RENEWABLE true
#else
#ifdef LETTER_RULE_9
#define RENEWABLE IN(marked, named[base])
#else
#define RENEWABLE (IN(marked, named[base]) && AGREED(base))
#endif
#endif

/* The predecessors of version `v`, as they are carried on into the next. */
inline carry(v) {
  i = 1;
  do
  :: i <= PATS -> carried[i] = PRED(v, i); i++
  :: else -> break
  od;
  i = 0
}

/* A PAT is minted. */
inline grant() {
  minted++;
  born[minted] = now;
  alive = alive | BIT(minted);
  marked = marked | BIT(minted);
#ifdef OWNERS
  second_owner = second_owner | (owner << minted);
#endif
}

/* The new version with its tags: `carried`, and what was current as a predecessor; those MOST that end last. */
inline arrive(p) {
  assert(!(IN(pasted, versions) && named[versions] == NONE && versions == base) || kind == TAKE_BACK); /* promise_4 */
  versions++;
  value[versions] = p;
  named[versions] = p;
  expires[versions] = p;
  created[versions] = now;
  readable = readable | BIT(versions);
  late = late | ((now - born[p] > WITHIN) << versions);
  if
  :: base > 0 && named[base] != NONE && named[base] <= PATS -> carried[named[base]] = stamped_at + OVERLAP
  :: else
  fi;
  i = 1;
  do
  :: i <= PATS ->
     PRED(versions, i) = (i == p -> 0 : (rotating && carried[i] -> AT_ONCE : carried[i]));
     carried[i] = 0;
     i++
  :: else -> break
  od;
  do
  :: true ->
     i = 1; h = 0; n = 0;
     do
     :: i <= PATS ->
        n = n + (PRED(versions, i) != 0);
        h = (PRED(versions, i) != 0 && (h == 0 || PRED(versions, i) < PRED(versions, h)) -> i : h);
        i++
     :: else -> break
     od;
     if
     :: n > MOST -> PRED(versions, h) = 0
     :: else -> break
     fi
  od;
  base = versions
}

#ifdef MUTANT_S9
#define LOOKED_AT(p) (IN(second_owner, p) == owner)
#else
#define LOOKED_AT(p) true
#endif

proctype Runner(byte me; byte kind) {
  byte asked; /* published_before */
  byte base; /* the version that our facts stand on */
  byte carried[PATS + 1]; /* its predecessors, from the look to the publishing */
  byte fresh, stamped_at; /* minted and not yet published; when its tags were made */
  byte victim, judged, judged_at; /* what is to be ended, by how many versions and when that was judged */
  bool rotating; /* an emergency rotates: what it replaces ends at once */
  short ended; /* to be taken off the tag */
  byte found; /* result of a deterministic step, used at once */
#ifdef CONSUMER
  byte pushed_now; /* the version that this run has pushed, or tried to */
  byte handed; /* the version whose value is on its way to the consumer */
#endif
#ifdef MUTANT_S2
  byte ident;
#endif

  atomic {
    SAY(arrives kind, kind);
    if
    :: kind == FORCE -> asked = now
#ifdef LEAKED_AT
    :: kind == EMERGENCY -> asked = LEAKED_AT
#else
    :: kind == EMERGENCY -> asked = now
#endif
    :: else
    fi;
    if
    :: kind == EMERGENCY && asked > leaked_before -> leaked_before = asked
    :: else
    fi
  }
#ifdef LEASES
end_waiting: /* a killed holder keeps it until time passes, and here time ends */
  atomic {
    lease == 0 || leased_at < now || kind == EMERGENCY || undisturbed; /* an emergency waits for seconds only */
    lease = me;
    leased_at = now
  }
#endif

look: /* call: list the vault; tags and times, no value */
  atomic { d_step {
    base = versions;
    carry(base);
    SAY(sees version, base);
#ifdef MUTANT_S2
    ident = named[base];
#endif
  } }
  atomic { /* call: list the user's PATs, get by id the current one if it is not listed; then the plan */
    DIES;
    d_step {
      SAY(lists PATs mask, alive & marked);
      find_edited(base);
#ifdef MUTANT_S6_RENEW
      ok = ok && kind != RENEW; /* the tag alone is believed */
#endif
      found = ok
    }
    if
    :: kind == DECOMMISSION -> goto decommission
    :: kind == TAKE_BACK && found -> found = 0
    :: kind == TAKE_BACK && !found -> goto finished
    :: kind != DECOMMISSION && kind != TAKE_BACK && found -> goto finished /* rule 10: it fails, and says so */
    :: kind == EMERGENCY && !found && created[base] <= asked -> rotating = true
    :: kind == EMERGENCY && !found && created[base] > asked -> /* rule 8: that answers the replacing, not the ending */
#ifdef MUTANT_S3_REPLACED
       goto says_done
#else
       goto end_leaked
#endif
    :: kind <= RENEW && kind != EMERGENCY && !found && !IN(alive, named[base]) -> skip /* rule 5: gone */
    :: kind <= RENEW && kind != EMERGENCY && !found && IN(alive, named[base]) ->
       if
       :: !IN(readable, base) -> goto finished
#ifdef OWNERS
       :: IN(readable, base) && owner != IN(second_owner, named[base]) -> goto mint /* rule 13 */
#endif
       :: IN(readable, base) && kind == FORCE ->
          d_step {
            found = (created[base] >= asked);
            i = 1;
            do
            :: i <= PATS -> found = found || (carried[i] > now && carried[i] != AT_ONCE); i++
            :: else -> break
            od;
            i = 0
          }
          if
          :: found -> goto keep
          :: else
          fi
       :: IN(readable, base) && kind == TIMER -> goto keep
       :: IN(readable, base) && kind == TIMER && !undisturbed -> skip /* due */
       :: IN(readable, base) && kind == RENEW && RENEWABLE -> victim = named[base]; goto renew
       :: IN(readable, base) && kind == RENEW && !RENEWABLE -> skip
       fi
    fi
  }

mint:
  atomic { /* call: mint */
    DIES;
    assert(minted < PATS && versions < VERSIONS); /* bounds: nothing happens that this model has no room for */
    if
    :: d_step { grant(); fresh = minted; SAY(mints, fresh) }
    :: FAULT; SAY(is refused a mint, 0); goto keep
    :: FAULT; d_step { grant(); SAY(loses the answer to minting, minted) } goto keep
    fi
  }
  atomic { /* verified; rule 2: not later than WITHIN; the tags are made before the write */
    stamped_at = now;
    if
    :: now - born[fresh] > WITHIN -> goto undo
    :: now - born[fresh] <= WITHIN
    :: FAULT; goto undo /* it did not pass its verification */
    fi
  }
  atomic { /* call: publish, sent once; it may arrive whenever it likes */
    DIES;
    if
    :: FAULT; SAY(is refused to publish, fresh); goto undo /* in Key Vault's own words */
    :: d_step { assert(versions < VERSIONS); arrive(fresh); SAY(publishes, fresh) } /* bounds */
    fi;
    if
    :: true
    :: FAULT; SAY(loses the answer to publishing, fresh); /* or it is foreign: doubt */
#ifdef MUTANT_S4
       goto undo
#else
       if
       :: goto finished /* no answer within any patience, nor to the reading back */
       :: true /* read back below */
       fi
#endif
    fi;
    if
    :: now - born[fresh] <= WITHIN -> goto published
    :: else
    fi
  }
  atomic { /* the answer, or the tags read back, came late: does the value live? */
    DIES;
    if
    :: now - born[fresh] > WITHIN && !IN(alive, fresh) -> /* a dead value cannot wait for the next run */
       SAY(finds dead late, fresh);
       fresh = 0;
       stamped_at = 0;
       rotating = false;
       goto look
    :: else
    fi;
published:
#ifdef MUTANT_S2
    ident = fresh;
#endif
    fresh = 0;
    stamped_at = 0;
    rotating = false;
    if
    :: kind == EMERGENCY -> goto end_leaked
    :: else -> goto keep
    fi
  }

undo:
  atomic { /* call: revoke what was never published */
    DIES;
    if
    :: d_step { end_pat(fresh, versions) }
    :: FAULT
    fi;
    fresh = 0;
    stamped_at = 0;
    if
    :: kind == EMERGENCY -> goto finished /* it says that the leaked PAT still lives */
    :: else -> goto keep
    fi
  }

renew:
  atomic { /* call: a later expiry for the same value, through the gate. Then the vault's expiry is no PAT's validTo. */
    DIES;
    assert(victim != STRANGER); /* promise_4: nor changed */
    if
    :: !IN(alive, victim) -> victim = 0; goto mint
    :: IN(alive, victim) ->
       d_step {
         SAY(renews, victim);
         i = 1;
         do
         :: i <= versions -> expires[i] = (expires[i] == victim -> NONE : expires[i]); i++
         :: else -> break
         od;
         i = 0
       }
    :: FAULT; victim = 0; goto keep
    fi;
    if
    :: true
    :: FAULT; victim = 0; goto keep
    fi
  }
  atomic { /* calls: read the published value, verify it */
    DIES;
    if
    :: versions != base || named[base] != victim -> victim = 0; goto keep
    :: versions == base && named[base] == victim && !IN(alive, value[base]) -> victim = 0; goto mint
    :: else
    fi
  }
  atomic { /* call: expiry and tags on the very version that was read */
    DIES;
    if
    :: named[base] = victim; expires[base] = victim
    :: FAULT
    fi;
    victim = 0
  }

keep: /* what is over of earlier generations; where a consumer has a copy, it is given the current value first */
  atomic {
    d_step {
      i = 1; found = 0;
      do
      :: i <= PATS -> carried[i] = 0; found = found || PRED(base, i) == AT_ONCE; i++
      :: else -> break
      od;
      i = 0
    }
#ifdef CONSUMER
    if
    :: found -> found = 0; goto retire /* what leaked waits for no consumer */
    :: else
    fi;
    if
    :: OWED -> goto push
    :: else -> goto retire
    fi
#else
    found = 0
#endif
  }
#ifdef CONSUMER
  goto retire;

push:
  atomic { /* call: read the current value */
    DIES;
    pushed_now = base;
    if
    :: named[versions] == NONE || versions != base -> goto orphans
    :: else -> handed = versions
    fi
  }
again:
  atomic { /* call: give it to the consumer */
    DIES;
    if
    :: FAULT; goto finished /* refused: nothing that it may use is ended */
    :: copy = value[handed]; slow_push = (handed != versions); SAY(pushes, copy)
    :: FAULT;
       copy = value[handed];
       slow_push = (handed != versions);
       SAY(loses the answer to pushing, copy);
       goto finished
    fi
  }
  atomic { /* call: read again; this push may have put an older value back */
    DIES;
    if
    :: handed != versions && named[versions] != NONE ->
       handed = versions;
       pushed = pushed & ~BIT(versions);
#ifdef MUTANT_S2
       base = versions;
#endif
       goto again
    :: handed != versions && named[versions] == NONE -> goto finished
    :: else
    fi
  }
  atomic { /* call: the tag, on the version that was read; written last */
    DIES;
    if
    :: pushed = pushed | BIT(handed); SAY(tags as pushed version, handed)
    :: FAULT
    fi;
    handed = 0
  }
#endif

retire:
  atomic { /* call: the gate: the newest version and all others, and the vault's time */
    DIES;
#ifdef MUTANT_S6_DISABLE
    if
    :: named[base] <= PATS && PRED(base, named[base]) != 0 && PRED(base, named[base]) <= created[base] ->
       readable = readable & ~BIT(base)
    :: else
    fi;
#endif
    d_step {
      find_edited(versions);
      found = ok;
      i = 1;
      do
      :: i <= minted && !found && versions == base ->
         n = i;
         find_due(n);
         i = n;
         ended = ended | ((ok && !IN(alive, i)) << i);
         victim = (ok && IN(alive, i) && !IN(ended, i) -> i : victim);
         i++
      :: else -> break
      od;
      i = 0
    }
    if
#ifdef MUTANT_S2
    :: found -> goto finished
#else
    :: found || versions != base -> found = 0; goto orphans /* overtaken: the next run sees what the other did */
#endif
    :: !found && victim == 0 -> goto tags
    :: else
    fi;
#ifdef CONSUMER
    if
    :: PRED(base, victim) != AT_ONCE && !HAS_TAKEN(base) -> victim = 0; goto push
    :: else
    fi;
#endif
    judged = versions;
    judged_at = now;
    assert(IN(marked, victim)) /* promise_4: nothing without our mark */
  }
  atomic { /* call: revoke */
    DIES;
    if
    :: now - judged_at > WITHIN
    :: now - judged_at <= WITHIN -> d_step { end_pat(victim, judged); ended = ended | BIT(victim) }
    :: FAULT; victim = 0; judged = 0; judged_at = 0; goto orphans
    fi;
    victim = 0;
    judged = 0;
    judged_at = 0;
    goto retire
  }

tags:
  atomic { /* calls: read the tags, write them on that version without what is ended */
    DIES;
    if
    :: FAULT
    :: d_step {
         i = 1;
         do
         :: i <= minted -> PRED(base, i) = (IN(ended, i) -> 0 : PRED(base, i)); i++
         :: else -> break
         od;
#ifdef MUTANT_S2
         named[base] = (ended != 0 -> ident : named[base]);
#endif
         SAY(writes tags of version, base)
       }
    fi;
    ended = 0;
#ifdef CONSUMER
    if
    :: pushed_now != base && OWED -> goto push
    :: else
    fi
#endif
  }

orphans:
  atomic { /* call: all versions of the secret, and the vault's time */
    DIES;
    d_step {
      ended = 0;
      find_edited(versions);
      found = ok;
      i = 1;
      do
      :: i <= minted && !found ->
         if
         :: (IN(alive & marked, i) && LOOKED_AT(i) && PRED(versions, i) == 0 && named[versions] != i
            && now - born[i] >= ORPHAN_AGE) ->
            find_over(i);
            victim = (h == 0 || ok -> i : victim)
         :: else
         fi;
         i++
      :: else -> break
      od;
      i = 0
    }
    if
    :: found || victim == 0 -> goto finished
    :: else
    fi;
#ifdef CONSUMER
    if
    :: !HAS_TAKEN(versions) -> victim = 0; base = versions; goto push
    :: else
    fi;
#endif
    judged = versions;
    judged_at = now;
    assert(IN(marked, victim)) /* promise_4: nothing without our mark */
  }
  atomic { /* call: revoke */
    DIES;
    if
    :: now - judged_at > WITHIN /* judged again */
    :: now - judged_at <= WITHIN -> d_step { end_pat(victim, judged) }
    :: FAULT; goto finished
    fi;
    judged = 0;
    judged_at = 0;
#if !defined(LATE_IS_MENDED) || defined(LETTER_RULE_2)
    victim = 0;
    goto orphans
  }
#else
  }
  atomic { /* call: what is current now? Either who ends or who publishes late sees what the other did. */
    DIES;
    if
    :: named[versions] == victim -> victim = 0; goto look
    :: else -> victim = 0; goto orphans
    fi
  }
#endif

end_leaked: /* rule 8: the set comes from the listings by mark and from all versions, not from the tag */
  atomic { /* calls: list the PATs of every owner, then all versions */
    DIES;
    d_step {
      base = versions;
      find_edited(base);
#ifdef LETTER_RULE_8_TAG
      found = ok;
#else
      found = ok || !AGREED(base); /* which is the published one? One witness is not enough */
#endif
      i = 1;
      do
      :: i <= minted && !found ->
         find_named(i);
         n = (h > 0 || now - born[i] >= ORPHAN_AGE); /* what no version names may be on its way into the vault */
#ifdef LETTER_RULE_8
         n = true;
#endif
         find_holder(i);
         found = found || (!n && h > 0 && IN(alive, i) && born[i] < asked); /* in doubt it is not ended, but told */
#ifdef MUTANT_S3_OWNER
         n = n && IN(second_owner, i) == owner;
#endif
#ifdef MUTANT_S3_TAG
         n = (PRED(versions, i) == AT_ONCE);
#endif
         n = n && IN(alive, i) && born[i] < asked && i != named[versions];
         victim = (n && IN(marked, i) -> i : victim);
         found = found || (n && !IN(marked, i)); /* somebody renamed it: told, and failed */
         i++
      :: else -> break
      od;
      i = 0
    }
    if
    :: found -> goto finished
    :: !found && victim == 0 -> goto disable
    :: else -> judged = versions; judged_at = now; assert(IN(marked, victim)) /* promise_4 */
    fi
  }
  atomic { /* call: revoke */
    DIES;
    if
    :: now - judged_at > WITHIN
    :: now - judged_at <= WITHIN -> d_step { end_pat(victim, judged) }
    :: FAULT; goto finished /* not confirmed: failed, and told */
    fi;
    victim = 0;
    judged = 0;
    judged_at = 0;
    goto end_leaked
  }
disable:
  atomic { /* calls: disable every older version */
    DIES;
    if
    :: FAULT; goto finished
    :: d_step {
         SAY(disables versions older than, base);
         i = 1;
         do
         :: i < base -> readable = (named[i] == NONE -> readable : readable & ~BIT(i)); i++
         :: else -> break
         od;
         i = 0
       }
    fi
  }
says_done:
  atomic { d_step { check_emergency(asked, base) } goto keep }

decommission:
  atomic { /* call: disable; nobody reads a value that is about to die */
    DIES;
    if
    :: found || named[versions] == NONE -> goto finished
    :: FAULT; goto finished
    :: !found && named[versions] != NONE ->
       decommissioned = true;
       readable = 0;
       SAY(disables all up to version, versions)
    fi
  }
end_all:
  atomic { /* calls: list the PATs of every owner, then all versions */
    DIES;
    d_step {
      i = 1;
      do
      :: i <= minted ->
         find_holder(i);
         victim = ((h > 0 || now - born[i] >= ORPHAN_AGE) && IN(alive & marked, i) -> i : victim);
         i++
      :: else -> break
      od;
      i = 0
    }
    if
    :: victim == 0 -> goto finished
    :: else
    fi
  }
  atomic { /* call: revoke */
    DIES;
    if
    :: d_step { end_pat(victim, versions) }
    :: FAULT; goto finished
    fi;
    victim = 0;
    goto end_all
  }

finished:
#ifdef LEASES
  atomic {
    if
    :: lease == me -> lease = 0; leased_at = 0
    :: else
    fi
  }
#endif
gone:
  atomic { d_step {
    asked = 0; base = 0; fresh = 0; stamped_at = 0; victim = 0; judged = 0; judged_at = 0; rotating = false;
    ended = 0; found = 0;
#ifdef CONSUMER
    pushed_now = 0; handed = 0;
#endif
#ifdef MUTANT_S2
    ident = 0;
#endif
    i = 1;
    do
    :: i <= PATS -> carried[i] = 0; i++
    :: else -> break
    od;
    over++;
    SAY(is over, 0);
    if
    :: undisturbed -> check_at_rest()
    :: else
    fi
  } }
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

active proctype Clock() {
end:
  do
  :: atomic { now < END && !undisturbed -> now++ }
  od
}

/* which = some PAT */
inline select_pat() {
  which = 1;
  do
  :: which < minted -> which++
  :: break
  od
}

#if EDITS > 0
#define EDIT(what, which) printf(TEXT(at %d a person what %d\n), now, which)
#define NEWEST_MARKED (named[versions] != NONE)
active proctype Person() {
  byte which;
end:
  do
  :: atomic {
       edits > 0 && versions >= HISTORY && !undisturbed && over < 2 -> edits--;
       if
#ifdef ACT_NAME
       :: NEWEST_MARKED -> /* another id in the tag: nobody's, a stranger's, or another PAT of this item */
          if
#ifndef ACT_NAME_STRANGER
          :: named[versions] = UNKNOWN
          :: versions > 1 -> named[versions] = named[versions - 1]
#endif
          :: named[versions] = STRANGER
          fi;
          EDIT(names the newest, named[versions])
#endif
#ifdef ACT_WIPE
       :: NEWEST_MARKED -> /* all tags taken off, and perhaps the expiry */
          named[versions] = NONE;
          d_step {
            i = 1;
            do
            :: i <= PATS -> PRED(versions, i) = 0; i++
            :: else -> break
            od;
            i = 0
          }
#ifdef CONSUMER
          pushed = pushed & ~BIT(versions);
#endif
          if
          :: expires[versions] = NONE; EDIT(wipes tags and expiry of version, versions)
          :: EDIT(wipes the tags of version, versions)
          fi
       :: expires[versions] = NONE; EDIT(wipes the expiry of version, versions)
#endif
#ifdef ACT_PREDECESSORS
       :: NEWEST_MARKED && named[versions] <= PATS ->
          PRED(versions, named[versions]) = 1;
          EDIT(adds the current one to the predecessors, 0)
       :: NEWEST_MARKED -> EDIT(says that all overlaps are over, 0);
          d_step {
            i = 1;
            do
            :: i <= PATS -> PRED(versions, i) = (PRED(versions, i) != 0); i++
            :: else -> break
            od;
            i = 0
          }
#endif
#ifdef ACT_PASTE
       :: versions < VERSIONS -> /* the same value again, or another one, without tags */
          versions++;
          created[versions] = now;
          pasted = pasted | BIT(versions);
          readable = readable | BIT(versions);
          if
          :: value[versions] = value[versions - 1]
          :: value[versions] = STRANGER
          fi;
          by_hand = by_hand | (BIT(value[versions]) & ~alive); /* a value that was dead already */
          EDIT(pastes, value[versions])
#endif
#ifdef ACT_ROLL_BACK
       :: versions > 1 && versions < VERSIONS -> /* the version before again, with all that stands on it */
          EDIT(rolls back, 0);
          versions++;
          created[versions] = now;
          pasted = pasted | BIT(versions);
          readable = readable | BIT(versions);
          value[versions] = value[versions - 2];
          by_hand = by_hand | (BIT(value[versions]) & ~alive);
          named[versions] = named[versions - 2];
          expires[versions] = expires[versions - 2];
          d_step {
            i = 1;
            do
            :: i <= PATS -> PRED(versions, i) = PRED(versions - 2, i); i++
            :: else -> break
            od;
            i = 0
          }
#ifdef CONSUMER
          pushed = pushed | (IN(pushed, versions - 2) << versions)
#endif
#endif
#ifdef ACT_OLD_METADATA
       :: versions > 1 -> /* both witnesses as they were on the version before */
          named[versions] = named[versions - 1];
          expires[versions] = expires[versions - 1];
          EDIT(puts the metadata of the version before back, 0)
#endif
#ifdef ACT_DELETE
       :: select_pat(); alive = alive & ~BIT(which); by_hand = by_hand | BIT(which); EDIT(deletes, which)
#endif
#ifdef ACT_RENAME
       :: select_pat(); marked = marked & ~BIT(which); EDIT(renames, which)
#endif
#ifdef OWNERS
       :: owner = !owner; EDIT(names the other user in pats.yaml, owner)
#endif
       :: else
       fi;
       which = 0
     }
  od
}
#endif

init {
  atomic {
    do
    :: versions < HISTORY ->
       versions++;
       minted++;
       born[minted] = (versions == HISTORY && HISTORY > 1 -> START - 1 : versions);
       alive = alive | BIT(minted);
       marked = marked | BIT(minted);
       value[versions] = minted;
       named[versions] = minted;
       expires[versions] = minted;
       created[versions] = born[minted];
       readable = readable | BIT(versions);
       if
       :: versions > 1 -> PRED(versions, minted - 1) = created[versions] + OVERLAP
       :: else
       fi
    :: else -> break
    od;
#ifdef CONSUMER
    pushed = BIT(versions);
    copy = value[versions];
#endif
    run Runner(1, FIRST);
#ifdef SECOND
    run Runner(2, SECOND)
#else
    over++
#endif
  };
end_unfinished:
  atomic {
    over == 2 -> undisturbed = true;
#ifdef LATE_IS_MENDED
    assert(IN(alive | by_hand, CURRENT) || decommissioned || kills < KILLS || faults < FAULTS); /* rule_2 */
#endif
    if
    :: decommissioned -> run Runner(3, DECOMMISSION)
    :: else -> run Runner(3, TIMER)
    fi
  }
}
