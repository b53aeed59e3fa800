/* SPDX-License-Identifier: MIT */
/*
 * The crash-safe lock of lib/base/lock.h and lib/base/lock.c, at every step of a kill: three
 * processes take it, change what it guards, and give it back; any of them can be killed between any
 * two steps (KILLS times in all), also while it recovers.
 *
 * One step here is one load, store or compare-and-swap of the library on shared memory, one store
 * to list_op_pending, or one futex call. The processor's order is of no matter: the word is changed
 * by atomic operations only, and a dying process has done a first part of its program.
 *
 * Shown: never two owners; what is guarded is never used half changed, because the next owner is
 * told and recovers first; a lock is never lost with its owner; and nobody sleeps for ever, though
 * a wake-up can be lost (the slice of 20 ms).
 *
 * Planted faults, each of which must be found: NO_PENDING, SET_LATE, CLEAR_EARLY, NO_RECOVERY,
 * FORGET_DEAD, NO_SLICE, NO_WALK.
 */

#ifndef KILLS
#define KILLS 2
#endif
#define PROCESSES 3

/* The word: owner 1..3 or 0, and two marks. */
#define DEAD 4
#define WAITERS 8
#define TID(w) ((w) & 3)

byte word;
bit pending[4]; /* list_op_pending of the process names the word */
bit asleep[4];  /* in futex_wait */
bit gone[4];    /* dead, and the kernel's walk is over */
bit inside[4];  /* between taking and giving back */
bit ended[4];
bit half;       /* what is guarded is half changed */
byte kills;

/* FUTEX_WAKE of one: any sleeper. */
inline wake() {
	if
	:: asleep[1] -> asleep[1] = 0
	:: asleep[2] -> asleep[2] = 0
	:: asleep[3] -> asleep[3] = 0
	:: else -> skip
	fi
}

/* Where list_op_pending is set around a try: lock_set_pending(self, word). */
inline announce() {
#if !defined(NO_PENDING) && !defined(SET_LATE)
	pending[me] = 1
#else
	skip
#endif
}

/* What the lock guards is changed in two steps, as the range list is: half changed in between. */
inline use() {
	atomic {
		inside[me] = 1;
		assert(inside[1] + inside[2] + inside[3] == 1)
	}
	if
	:: died ->
#ifndef NO_RECOVERY
		half = 0 /* control_lock_slowly(): recover(), before anything else */
#else
		skip
#endif
	:: else -> skip
	fi;
	assert(!half);
	half = 1;
	half = 0;
	inside[me] = 0
}

proctype process(byte me; byte rounds)
{
	byte seen, was;
	bit waiters, died;

	{
		skip;
again:		/* lock_acquire() */
		announce();
		atomic {
			if
			:: word == 0 -> word = me; goto acquired
			:: else -> skip
			fi
		}
		pending[me] = 0;

slowly:		/* lock_acquire_slowly(), without the turns that only spin */
		seen = word;
		if
		:: TID(seen) == 0 ->
			announce();
			atomic {
				if
				:: word == seen ->
#ifdef FORGET_DEAD
					died = 0;
#else
					died = ((seen & DEAD) != 0);
#endif
					word = me | (seen & WAITERS) | (waiters * WAITERS);
					seen = 0;
					waiters = 0;
					goto acquired
				:: else -> skip
				fi
			}
			pending[me] = 0
		:: else ->
			if
			:: seen & WAITERS -> skip
			:: else -> /* lock_try(word, &seen, seen | LOCK_WAITERS) */
				atomic {
					if
					:: word == seen -> word = seen | WAITERS
					:: else -> goto slowly
					fi
				}
			fi;
			waiters = 1;
			/* sys_futex_wait(): sleeps only if the word is still that; until woken, or
			 * for a slice. */
			atomic {
				asleep[me] = (word == (seen | WAITERS));
				seen = 0
			}
			if
			:: !asleep[me] -> skip
#ifndef NO_SLICE
			/* The slice ends. The owner of the lock is then no dead process that the
			 * kernel forgot. */
			:: atomic { asleep[me] -> asleep[me] = 0 };
				assert(TID(word) == 0 || !gone[TID(word)])
#endif
			fi
		fi;
		goto slowly;

acquired:
#ifdef SET_LATE
		pending[me] = 1;
#endif
		use();
		died = 0;
		/* lock_release() */
#ifdef CLEAR_EARLY
		pending[me] = 0;
#endif
		atomic { was = word; word = 0 }
		if
		:: was & WAITERS -> atomic { wake(); was = 0 }
		:: else -> was = 0
		fi;
		pending[me] = 0;
		rounds--;
		if
		:: rounds > 0 -> goto again
		:: else -> skip
		fi;
		ended[me] = 1
	} unless { gone[me] }
}

/*
 * A kill, and the kernel's exit_robust_list() for list_op_pending. In one step: a process that is
 * killed and not yet marked looks to the others as one that does not get the processor. A word that
 * is free: wake one, in case the dead one was to do it. One with another's id: leave it. Its own:
 * mark it, keep WAITERS, and wake one if there are any.
 */
inline kill(who) {
	atomic {
		kills < KILLS && !gone[who] && !ended[who] ->
		kills++;
		gone[who] = 1;
		inside[who] = 0;
		asleep[who] = 0;
#ifndef NO_WALK
		if
		:: pending[who] && word == 0 -> wake()
		:: pending[who] && TID(word) == who ->
			if
			:: word & WAITERS -> word = WAITERS | DEAD; wake()
			:: else -> word = DEAD
			fi
		:: else -> skip
		fi;
#endif
		pending[who] = 0
	}
}

active proctype killer()
{
end:	do
	:: kill(1)
	:: kill(2)
	:: kill(3)
	od
}

init {
	atomic {
		run process(1, 2);
		run process(2, 1);
		run process(3, 1)
	}
}
