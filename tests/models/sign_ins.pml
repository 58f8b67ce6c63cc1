/* The ledger of sign-ins (rule 12, promise 6): how often can a refused password go out?
 *
 * Users, processes that run again and again, answers that are lost, processes that are killed, a note that a person
 * deletes or that cannot be written. The first user's password is wrong, the others' are right. Within a process all
 * ways to a sign-in share a lock and a memory for each user, so a process is a sequence of attempts.
 * One tick is half an hour. Each step is one call; MOST_REFUSED is what is claimed.
 */

#ifndef USERS
#define USERS 2
#endif
#ifndef RUNNERS
#define RUNNERS 2
#endif
#ifndef RUNS
#define RUNS 2 /* of each runner, one after the other; a killed one starts again as its next run */
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2 /* ways to a sign-in within one run */
#endif
#ifndef LOST
#define LOST 0 /* answers that are lost or foreign after the password went out */
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef DELETIONS
#define DELETIONS 0 /* of the note, by a person; the name stays taken, soft-deleted */
#endif
#ifndef TICKS
#define TICKS 0
#endif
#ifndef MOST_REFUSED
#define MOST_REFUSED 1
#endif

/* A note: 0 nothing, 1 and 2 so many attempts in a row without a clear answer, or one of these. */
#define IN_DOUBT 2 /* two in a row hold for half an hour */
#define PROVEN 3 /* these facts signed in once; a note that was released says so too */
#define BLOCKED 4

byte now;
byte note[USERS];
byte noted_at[USERS];
bool deleted[USERS];
byte refused; /* how often the wrong password went out and was judged */
byte lost = LOST;
byte kills = KILLS;
byte deletions = DELETIONS;
#ifdef STORAGE
byte holder[USERS]; /* of the user's lease; 0: nobody */
byte held_since[USERS];
#endif

#define WRONG 0 /* the user whose password is wrong */
#define PROMISE_6_AT_MOST_SO_MANY_REFUSED (refused <= MOST_REFUSED)

active proctype Promises() {
end:
  atomic {
    !PROMISE_6_AT_MOST_SO_MANY_REFUSED;
    assert(PROMISE_6_AT_MOST_SO_MANY_REFUSED)
  }
}

#define TEXT(text) #text
#define SAY(what) printf(TEXT(at %d runner %d user %d: what\n), now, me, user)
#define DIES \
  if \
  :: kills > 0 -> kills--; SAY(is killed); goto killed \
  :: true \
  fi

/* A verdict is not taken back by a slower process that has none: the strongest word about the same facts counts. */
#ifdef LETTER_RULE_12
#define KEPT(word) false
#else
#define KEPT(word) (note[user] == BLOCKED && (word) != PROVEN)
#endif

/* ok = the note was written. A soft-deleted one is recovered first. */
inline write_note(word) {
#ifdef NOT_WRITABLE
  ok = false;
#else
#ifdef MUTANT_S5_E
  ok = !deleted[user];
#else
  ok = true;
#endif
  if
  :: ok && KEPT(word) -> deleted[user] = false
  :: ok && !KEPT(word) -> deleted[user] = false; note[user] = word; noted_at[user] = now
  :: else
  fi;
#endif
  skip
}

#define READ (deleted[user] -> 0 : note[user])
#if defined(MUTANT_S5_E) || defined(MUTANT_S5_F)
#define NO_TRYING
#endif
#if defined(STORAGE) && !defined(MUTANT_S5_B)
#define GIVE_UP_LEASE \
  if \
  :: holder[user] == me -> holder[user] = 0; held_since[user] = 0 \
  :: else \
  fi
#else
#define GIVE_UP_LEASE skip
#endif

proctype Runner(byte me) {
  byte runs, attempts, user, seen;
  byte refused_here; /* in the memory of this process, a bit for each user */
  bool ok;

new_run:
  atomic {
    refused_here = 0;
    attempts = 0;
    if
    :: runs < RUNS -> runs++
    :: else -> goto end
    fi
  };
next:
  atomic {
    if
    :: attempts < ATTEMPTS -> attempts++
    :: else -> goto new_run
    fi;
    if
    :: user = WRONG
    :: user = USERS - 1
    fi;
#ifdef MUTANT_S5_C
    seen = READ /* from a listing, however long ago */
#endif
  };
#if defined(STORAGE) && !defined(MUTANT_S5_B)
end_waiting:
  atomic {
    holder[user] == 0 || held_since[user] < now;
    holder[user] = me;
    held_since[user] = now
  };
#endif
  atomic { /* call: read the note, right before the password goes out */
    DIES;
#ifndef MUTANT_S5_A
    if
    :: (refused_here >> user) & 1 -> goto done
    :: else
    fi;
#endif
#ifndef MUTANT_S5_C
    seen = READ;
#endif
#ifdef MUTANT_S5_A
    seen = (attempts == 1 -> seen : 0); /* within a run refusals are forgotten */
#endif
    if
    :: seen == BLOCKED -> SAY(is blocked); goto done
    :: seen == IN_DOUBT && noted_at[user] == now -> SAY(waits for half an hour); goto done
    :: else
    fi
  };
#ifndef NO_TRYING
  if
  :: seen == PROVEN
  :: seen != PROVEN ->
     atomic { /* call: `trying` goes first; without it no password goes out for facts never proven */
       DIES;
       write_note((seen == 0 -> 1 : IN_DOUBT));
       if
       :: !ok -> SAY(cannot write the note); goto done
       :: else
       fi
     }
  fi;
#endif
  atomic { /* call: the password goes out, and Entra judges it */
    DIES;
again:
    SAY(sends the password);
    refused = refused + (user == WRONG);
    ok = true;
    if
    :: true
    :: lost > 0 -> lost--; ok = false; SAY(has no clear answer)
    fi;
#ifdef MUTANT_S5_D
    if
    :: !ok -> goto again /* nobody judged it, this believes, and notes nothing */
    :: else
    fi;
#endif
    refused_here = refused_here | ((user == WRONG) << user);
    seen = (ok -> (user == WRONG -> BLOCKED : PROVEN) : (seen == 0 || seen == PROVEN -> 1 : IN_DOUBT))
  };
  atomic { /* call: what was said is noted */
    DIES;
    write_note(seen)
  };
done:
  atomic {
    GIVE_UP_LEASE;
    seen = 0;
    ok = false;
    user = 0;
    goto next
  };

killed: /* its lease runs out; the next run starts with an empty memory */
  atomic {
    GIVE_UP_LEASE;
    seen = 0;
    ok = false;
    user = 0;
    goto new_run
  };
end:
  skip
}

#if TICKS > 0
active proctype Clock() {
end:
  do
  :: atomic { now < TICKS -> now++ }
  od
}
#endif

#if DELETIONS > 0
active proctype Person() {
end:
  do
  :: atomic {
       deletions > 0 && note[WRONG] != 0 && !deleted[WRONG] -> deletions--;
       deleted[WRONG] = true;
       note[WRONG] = 0
     }
  od
}
#endif

init {
  atomic {
#ifdef WAS_PROVEN
    note[WRONG] = PROVEN; /* somebody changed the password in Entra ID, and nobody in the vault */
#endif
    byte each = 1;
    do
    :: each <= RUNNERS -> run Runner(each); each++
    :: else -> break
    od;
    each = 0
  }
}
