/* SPDX-License-Identifier: MIT */
/*
 * A cache's reads without a lock against puts, removes, clears, purges, takings and carrying:
 * lib/cache/find.c, publish.c, put.c, segment.c, entry.c, age.c, over lib/memfd/take.c and
 * control_purge.c.
 *
 * Two segments of two pages, each with room for one entry: its head and the first half of its value
 * lie on the first page, the second half on the second one. One bucket of two slots; a slot has one
 * bit of the generation, as the real one has sixteen, so that it comes round again. Puts are
 * numbered; all but OTHER_KEY are of the key that is read. Who writes can be killed between any
 * two steps, KILLS times in all. The lock of the area, which purges and takings need, and that of
 * the bucket are as lock.pml shows them to be. One step is one store that others can see, or one
 * system call.
 *
 * Shown: what a read gives is whole, and was the key's value at some moment of the read; the same
 * for a view, which moreover does not change while it is held; what was chosen because it has no
 * entries does not take the key's value away.
 *
 * Planted faults, each of which must be found: NO_LOOK_AGAIN, GENERATION_FIRST, NO_GENERATION,
 * NO_BITS, HEAD_BITS_ONLY, BITS_AFTER, NO_WRITER_HOLD, TAKE_HELD, CLEAR_FIRST, SEQUENCE_LATE,
 * HEAD_FIRST, NO_EPOCH, NO_FIND, NO_BUCKET_LOCK, VIEW_AT_ONCE, VIEW_UNCHECKED,
 * PURGE_HELD, NO_RECOVERY_BITS, KEEP_TWINS, CARRY_ANY, CARRY_UNHELD, EPOCH_LATE.
 */

#ifndef KILLS
#define KILLS 1
#endif
#define PURGES KILLS

/* Processes; each has a bit of `holds`. */
#define PURGER 1
#define WRITER 2
#define OTHER 4
#define CARRIER 8
#define VIEWER 16
#define DEAD 255

#define OTHER_KEY 3
#define IS_OF_KEY(put) ((put) != 0 && (put) != OTHER_KEY)

byte area_lock, bucket_lock; /* 0, the owner, or DEAD: the owner died */
byte gone, ended;            /* processes */
byte kills;

/* Of each segment. */
byte generation[2] = 0; /* which changes with its sequence number; 0: never taken */
byte holds[2] = 0;      /* locks on the file */
/* Of each page, two a segment. */
bit lost[4] = 0;
byte noted; /* 1 + the page that a purge is about to free; 0: none */
/* What the pages contain. */
byte head_generation[2] = 0, head_epoch[2] = 0, head_put[2] = 0, first[2] = 0, second[2] = 0;

byte slot[2] = 0;
byte epoch = 1;

/* What nobody sees: the put that counts, where it lies, and all that counted during a read. */
byte current, where;
byte seen;
bit reading;
byte pending; /* puts whose entries are whole, and that no slot has yet */

#define SLOT_OF(segment, its_generation) (1 + (segment) + 2 * ((its_generation) & 1))
#define SEGMENT_OF(word) (((word) - 1) & 1)
#define SHORT_OF(word) (((word) - 1) >> 1)
#define IS_FREE(segment) (generation[segment] == 0 || lost[2 * (segment)])
#define IS_LOST(segment) (lost[2 * (segment)] || lost[2 * (segment) + 1])

inline set_current(put) {
	current = put;
	seen = (reading -> seen | (1 << current) : 0)
}

inline punch(page) {
	if
	:: page & 1 -> second[page >> 1] = 0
	:: else ->
		head_generation[page >> 1] = 0;
		head_epoch[page >> 1] = 0;
		head_put[page >> 1] = 0;
		first[page >> 1] = 0
	fi
}

/*
 * control_lock(), with the recovery of what a dead purge has noted. Who has the lock is alone with
 * what it guards, so what is done under it is one step up to what others see.
 */
inline lock_area(me) {
	area_lock == 0 || area_lock == DEAD;
	if
	:: area_lock == DEAD && noted != 0 ->
		if
		:: holds[(noted - 1) >> 1] != 0 -> skip
		:: else ->
#ifndef NO_RECOVERY_BITS
			lost[noted - 1] = 1;
#endif
			punch(noted - 1)
		fi;
		noted = 0
	:: else -> skip
	fi;
	area_lock = me
}

#ifndef NO_BUCKET_LOCK
#define LOCK_BUCKET(me) bucket_lock == 0 || bucket_lock == DEAD; bucket_lock = me
#define UNLOCK_BUCKET bucket_lock = 0
#else
#define LOCK_BUCKET(me) skip
#define UNLOCK_BUCKET skip
#endif

/*
 * A slot that stands for nothing any more may come to stand for an entry that is being put, where
 * the short generation has come round.
 */
#define MAY_BE_SEEN(put, at) \
	((seen >> (put) & 1) || (generation[at] >= 3 && (pending >> (put) & 1)))

/*
 * Take the segment `at`, or `taken` is 0. It was chosen as one without entries, or as the oldest
 * one. Whoever chose it saw its number; what was chosen as free is not to have the key's value.
 */
inline take(me, at) {
	atomic { saw = generation[at]; was_free = IS_FREE(at) };
#ifdef SEQUENCE_LATE
	saw = generation[at];
#endif
	atomic {
		lock_area(me);
		if
#ifndef TAKE_HELD
		:: holds[at] != 0 -> skip
#endif
		:: else ->
			if
#ifndef SEQUENCE_LATE
			/* it is a worse choice by now */
			:: generation[at] != saw || (was_free && !IS_FREE(at)) -> skip
#else
			:: generation[at] != saw -> skip
#endif
			:: else ->
#ifndef NO_WRITER_HOLD
				holds[at] = holds[at] | me;
#endif
				assert(!(was_free && current != 0 && where == at && !IS_LOST(at)));
				taken = 1
			fi
		fi;
		saw = 0;
		was_free = 0;
		if
		:: !taken -> area_lock = 0
		:: else -> skip
		fi
	};
	if
	:: taken ->
#ifndef CLEAR_FIRST
		generation[at]++;
		atomic { lost[2 * at] = 0; lost[2 * at + 1] = 0; area_lock = 0 }
#else
		atomic { lost[2 * at] = 0; lost[2 * at + 1] = 0 };
		atomic { generation[at]++; area_lock = 0 }
#endif
	:: else -> skip
	fi
}

/* What the entry's head is to contain: of which put, in which epoch. */
inline write_head(at, put, its_epoch) {
	d_step {
		pending = pending | 1 << put;
		head_generation[at] = generation[at];
		head_epoch[at] = its_epoch;
		head_put[at] = put
	}
}

#define HEAD_IS_OF(at, whole) (head_generation[at] == (whole))
#ifndef NO_EPOCH
#define HEAD_IS_SINCE(at, its_epoch) (head_epoch[at] == (its_epoch))
#else
#define HEAD_IS_SINCE(at, its_epoch) (head_put[at] != 0)
#endif

/* cache_open_slot() as one step, for who has the bucket locked: a purge can only make it fail. */
#define IS_ENTRY(word) \
	((word) != 0 && (generation[SEGMENT_OF(word)] & 1) == SHORT_OF(word) && \
	!lost[2 * SEGMENT_OF(word)] && \
	HEAD_IS_OF(SEGMENT_OF(word), generation[SEGMENT_OF(word)]) && \
	HEAD_IS_SINCE(SEGMENT_OF(word), epoch) && IS_OF_KEY(head_put[SEGMENT_OF(word)]))

/* index_find(): which slot has the key; 2: none. */
inline find_slot() {
	if
	:: IS_ENTRY(slot[0]) -> index = 0
	:: !IS_ENTRY(slot[0]) && IS_ENTRY(slot[1]) -> index = 1
	:: else -> index = 2
	fi
}

/* Slots that stood for what the segment had when its short generation was the same. */
inline forget_twins(word_of_it) {
#ifndef KEEP_TWINS
	slot[0] = (slot[0] == word_of_it -> 0 : slot[0]);
	slot[1] = (slot[1] == word_of_it -> 0 : slot[1])
#else
	skip
#endif
}

/* set_slot(): the key's own slot, else any that the key has not. */
inline choose_slot(put) {
	atomic {
#ifndef NO_FIND
		find_slot();
#else
		index = 2;
#endif
		if
		:: put != OTHER_KEY && index != 2 -> skip
		:: put == OTHER_KEY && index != 2 -> index = 1 - index
		:: index == 2 -> index = 0
		:: index == 2 -> index = 1
		fi
	}
}

inline put_it(me, put) {
	atomic {
		mine = epoch;
		if
		:: at = 0
		:: at = 1
		fi
	};
	take(me, at);
	if
	:: taken ->
#ifdef HEAD_FIRST
		write_head(at, put, mine);
#endif
		first[at] = put;
		second[at] = put;
		atomic { LOCK_BUCKET(me); forget_twins(SLOT_OF(at, generation[at])) };
#ifndef HEAD_FIRST
		write_head(at, put, mine);
#endif
		choose_slot(put);
		atomic {
			if
			/* a clear since it was begun has removed it */
			:: put != OTHER_KEY && mine == epoch -> set_current(put); where = at
			:: put != OTHER_KEY && mine != epoch ->
				/* for who began before it, it may have been before it too */
				seen = (reading -> seen | 1 << put : 0);
				set_current(0)
			:: else -> skip
			fi;
			slot[index] = SLOT_OF(at, generation[at]);
			pending = pending & ~(1 << put);
			UNLOCK_BUCKET
		};
		atomic { holds[at] = holds[at] & ~me; taken = 0; at = 0; index = 0; mine = 0 }
	:: else -> at = 0; mine = 0
	fi
}

proctype writer(byte me; byte from; byte to)
{
	bit taken, was_free;
	byte at, saw, mine, index;

	{
		do
		:: from <= to ->
			put_it(me, from);
			from++
		:: else -> break
		od;
		ended = ended | me
	} unless { (gone & me) != 0 }
}

/* ashmem_cache_remove() and ashmem_cache_clear() */
proctype remover(byte me)
{
	byte index;

	{
		if
		:: atomic { LOCK_BUCKET(me); find_slot() };
			atomic {
				if
				:: index != 2 -> slot[index] = 0
				:: else -> skip
				fi;
				set_current(0);
				UNLOCK_BUCKET
			}
		:: atomic { epoch++; set_current(0) }
		fi;
		atomic { index = 0; ended = ended | me }
	} unless { (gone & me) != 0 }
}

proctype purger()
{
	bit taken;
	byte page, turns = PURGES;

	{
		do
		:: turns > 0 ->
			atomic {
				turns--;
				if
				:: page = 0
				:: page = 1
				:: page = 2
				:: page = 3
				fi;
				lock_area(PURGER);
				if
#ifndef PURGE_HELD
				:: holds[page >> 1] != 0 -> area_lock = 0
#endif
				:: else -> noted = page + 1; taken = 1
				fi
			};
			if
			:: taken ->
#ifndef BITS_AFTER
				lost[page] = 1;
				atomic { punch(page); noted = 0; area_lock = 0; taken = 0 }
#else
				atomic { punch(page) };
				atomic { lost[page] = 1; noted = 0; area_lock = 0; taken = 0 }
#endif
			:: else -> skip
			fi
		:: else -> break
		od;
		atomic { page = 0; ended = ended | PURGER }
	} unless { (gone & PURGER) != 0 }
}

/* cache_is_still(): `good` */
inline look_again() {
#ifdef GENERATION_FIRST
	good = (generation[at] == whole);
	good = (good && !IS_LOST(at));
#else
#ifdef NO_BITS
	good = 1;
#else
#ifdef HEAD_BITS_ONLY
	good = !lost[2 * at];
#else
	good = !IS_LOST(at);
#endif
#endif
#ifndef NO_GENERATION
	good = (good && generation[at] == whole)
#endif
#endif
}

/* cache_open_slot(): `good`, and whose head it is */
inline open_slot(word) {
	atomic { at = SEGMENT_OF(word); whole = generation[at] };
	atomic {
		put = head_put[at];
		good = ((whole & 1) == SHORT_OF(word) && !lost[2 * at] &&
			HEAD_IS_OF(at, whole) && HEAD_IS_SINCE(at, began) && IS_OF_KEY(put))
	}
}

/* cache_find(): the first slot that is an entry of the key */
inline find() {
	atomic { reading = 1; seen = 1 << current; began = epoch; word = slot[0] };
	if
	:: word != 0 -> open_slot(word)
	:: else -> skip
	fi;
	if
	:: !good ->
		word = slot[1];
		if
		:: word != 0 -> open_slot(word)
		:: else -> skip
		fi
	:: else -> skip
	fi
}

proctype reader()
{
	bit good;
	byte word, at, whole, began, put, one, two;

	find();
	if
	:: !good -> goto miss
	:: else -> skip
	fi;
	one = first[at];
	two = second[at];
#ifndef NO_LOOK_AGAIN
	look_again();
#endif
	assert(!good || (one == put && two == put && MAY_BE_SEEN(put, at)));
miss:	atomic {
		reading = 0;
		seen = 0;
		good = 0;
		word = 0;
		at = 0;
		whole = 0;
		began = 0;
		put = 0;
		one = 0;
		two = 0
	}
}

/* entry.c, hold(): the lock on the file, the area's lock once, then all checks anew */
proctype viewer()
{
	bit good;
	byte word, at, whole, began, put;

	{
		find();
		if
		:: !good -> goto miss
		:: else -> skip
		fi;
		holds[at] = holds[at] | VIEWER;
#ifndef VIEW_AT_ONCE
		atomic { lock_area(VIEWER); area_lock = 0 };
#endif
#ifndef VIEW_UNCHECKED
		began = epoch;
		open_slot(word);
		if
		:: good -> look_again()
		:: else -> skip
		fi;
#endif
		if
		:: good ->
			assert(MAY_BE_SEEN(put, at));
			reading = 0;
			seen = 0;
			assert(first[at] == put);
			assert(second[at] == put)
		:: else -> skip
		fi;
		holds[at] = holds[at] & ~VIEWER;
miss:		atomic {
			reading = 0;
			seen = 0;
			good = 0;
			word = 0;
			at = 0;
			whole = 0;
			began = 0;
			put = 0;
			ended = ended | VIEWER
		}
	} unless { (gone & VIEWER) != 0 }
}

/* age.c: what lies in segment 0 goes to segment 1, if its slot is still its own. */
proctype carrier()
{
	bit good, taken, was_free;
	byte word, at, whole, began, put, index, saw;

	{
#ifndef CARRY_UNHELD
		holds[0] = holds[0] | CARRIER;
		atomic { lock_area(CARRIER); area_lock = 0 };
#endif
		atomic { began = epoch; word = SLOT_OF(0, generation[0]) };
		open_slot(word);
		if
		:: good -> look_again()
		:: else -> skip
		fi;
		if
		:: !good -> goto done
		:: else -> skip
		fi;
		atomic {
			if
			:: slot[0] == word -> index = 0
			:: slot[0] != word && slot[1] == word -> index = 1
			:: else -> goto done
			fi
		};
		take(CARRIER, 1);
		if
		:: !taken -> goto done
		:: else -> skip
		fi;
		first[1] = first[0];
		second[1] = second[0];
#ifdef EPOCH_LATE
		began = epoch;
#endif
		atomic { LOCK_BUCKET(CARRIER); forget_twins(SLOT_OF(1, generation[1])) };
		write_head(1, put, began);
		atomic {
#ifndef CARRY_ANY
			if
			:: slot[index] == word ->
#endif
				where = (current == put -> 1 : where);
				slot[index] = SLOT_OF(1, generation[1])
#ifndef CARRY_ANY
			:: else -> skip
			fi;
#endif
			pending = pending & ~(1 << put);
			UNLOCK_BUCKET
		};
done:		atomic {
			holds[0] = holds[0] & ~CARRIER;
			holds[1] = holds[1] & ~CARRIER;
			good = 0;
			taken = 0;
			word = 0;
			at = 0;
			whole = 0;
			began = 0;
			put = 0;
			index = 0;
			ended = ended | CARRIER
		}
	} unless { (gone & CARRIER) != 0 }
}

/* Its locks on the file go; the kernel marks the words that it owns. */
inline kill(who) {
	atomic {
		kills < KILLS && (gone & who) == 0 && (ended & who) == 0 ->
		kills++;
		gone = gone | who;
		area_lock = (area_lock == who -> DEAD : area_lock);
		bucket_lock = (bucket_lock == who -> DEAD : bucket_lock);
		holds[0] = holds[0] & ~who;
		holds[1] = holds[1] & ~who;
		if
		:: who == VIEWER -> reading = 0; seen = 0
		:: else -> skip
		fi
	}
}

active proctype killer()
{
end:	do
	:: kill(PURGER)
	:: kill(WRITER)
	:: kill(OTHER)
	:: kill(CARRIER)
	:: kill(VIEWER)
	od
}

/* A planted fault is looked for where it shows. */
#if defined(NO_WRITER_HOLD) || defined(TAKE_HELD) || defined(SEQUENCE_LATE) || \
	defined(NO_BUCKET_LOCK)
#define SCENE(n) ((n) == 2)
#elif defined(VIEW_AT_ONCE) || defined(VIEW_UNCHECKED) || defined(PURGE_HELD)
#define SCENE(n) ((n) == 3)
#elif defined(NO_EPOCH) || defined(CARRY_ANY) || defined(EPOCH_LATE)
#define SCENE(n) ((n) == 4)
#elif defined(CARRY_UNHELD)
#define SCENE(n) ((n) == 5)
#elif defined(KEEP_TWINS)
#define SCENE(n) ((n) == 7)
#elif defined(ONLY)
#define SCENE(n) ((n) == ONLY)
#else
#define SCENE(n) (1)
#endif

/* Who is there. The key has a value in segment 0 to begin with, put 1. */
init {
	atomic {
		generation[0] = 1;
		d_step {
			head_generation[0] = 1;
			head_epoch[0] = 1;
			head_put[0] = 1;
			first[0] = 1;
			second[0] = 1;
			current = 1;
			slot[0] = SLOT_OF(0, 1)
		};
		if
		:: SCENE(1) ->
			run reader(); run purger(); run writer(WRITER, 3, 4);
			gone = OTHER | CARRIER | VIEWER
		:: SCENE(2) ->
			run reader(); run writer(WRITER, 2, 2); run writer(OTHER, 3, 4);
			gone = PURGER | CARRIER | VIEWER;
			kills = KILLS
		:: SCENE(3) ->
			run viewer(); run purger(); run writer(WRITER, 2, 2);
			gone = OTHER | CARRIER
		:: SCENE(4) ->
			run reader(); run carrier(); run remover(OTHER); run writer(WRITER, 2, 2);
			gone = PURGER | VIEWER;
			kills = KILLS
		:: SCENE(5) ->
			run reader(); run carrier(); run purger(); run writer(WRITER, 2, 2);
			gone = OTHER | VIEWER;
			kills = KILLS
		:: SCENE(6) ->
			run viewer(); run writer(WRITER, 3, 4); run remover(OTHER);
			gone = PURGER | CARRIER;
			kills = KILLS
#if KILLS > 1 || defined(KEEP_TWINS)
		:: SCENE(7) ->
			/* what the slot stands for was forgotten; its generation comes round */
			generation[0] = 2;
			current = 0;
			run reader(); run remover(PURGER); run writer(WRITER, 2, 2);
			run writer(OTHER, 4, 4);
			gone = CARRIER | VIEWER;
			kills = KILLS
#endif
		fi
	}
}
