package databasetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// mutants are those of the suite of Run.
var mutants = slices.Concat(readingMutants, historyMutants, lockMutants, blockedMutants, txMutants, resetMutants, metadataMutants, runMutants, journalMutants, cloneMutants, backfillMutants)

// The suite fails for each driver that breaks a promise, and names that promise.
func TestMutants(t *testing.T) {
	about := casesAbout(t, cases(), plain)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			wantBroken(t, m.breaks, about[m.breaks], func() Target { return m.make().newTarget() })
		})
	}
}

// RunCreator fails for each Creator that breaks a promise, and names that promise.
func TestCreatorMutants(t *testing.T) {
	about := casesAbout(t, creatorCases, plainCreator)
	for _, m := range creatorMutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			wantBroken(t, m.breaks, about[m.breaks], m.newTarget)
		})
	}
}

// casesAbout returns the cases that check each promise.
func casesAbout(t *testing.T, cases []testCase, newTarget func() Target) map[*promise][]testCase {
	t.Helper()
	about := map[*promise][]testCase{}
	for _, tc := range cases {
		for p := range record(t, tc, newTarget).checked {
			about[p] = append(about[p], tc)
		}
	}
	return about
}

// wantBroken fails the test unless one of the cases fails for a target because it breaks a promise.
func wantBroken(t *testing.T, broken *promise, cases []testCase, newTarget func() Target) {
	t.Helper()
	var failures []string
	for _, tc := range cases {
		out := record(t, tc, newTarget)
		if out.message == "" {
			continue
		}
		if out.promise == broken && strings.Contains(out.message, broken.id) {
			return
		}
		failures = append(failures, tc.name+": "+out.message)
	}
	t.Errorf("no case failed for the promise %s; the failures:\n%s", broken.id, strings.Join(failures, "\n"))
}

// A mutant breaks each promise.
func TestPromisesHaveMutants(t *testing.T) {
	without := map[*promise]string{
		contract: "has no case of its own",
	}
	for _, m := range mutants {
		without[m.breaks] = m.name
	}
	for _, m := range creatorMutants {
		without[m.breaks] = m.name
	}
	for _, p := range promises {
		if without[p] == "" {
			t.Errorf("no mutant breaks the promise %s", p.id)
		}
	}
}

// The functions below create mutants.

// ofFound alters the Found of Begin, or of Guard if run is set.
func ofFound(name string, breaks *promise, run bool, alter func(*database.Found)) mutant {
	return mutant{name, breaks, func() alteration {
		return alteration{found: func(_ string, ofRun bool, found *database.Found) {
			if ofRun == run {
				alter(found)
			}
		}}
	}}
}

func ofDB(name string, breaks *promise, alter func(*alteredDB)) mutant {
	return mutant{name, breaks, func() alteration { return alteration{db: alter} }}
}

func ofTx(name string, breaks *promise, alter func(*alteredTx)) mutant {
	return mutant{name, breaks, func() alteration { return alteration{tx: alter} }}
}

func ofRun(name string, breaks *promise, alter func(*alteredRun)) mutant {
	return mutant{name, breaks, func() alteration { return alteration{run: alter} }}
}

func ofTarget(name string, breaks *promise, alter func(*Target)) mutant {
	return mutant{name, breaks, func() alteration { return alteration{target: alter} }}
}
