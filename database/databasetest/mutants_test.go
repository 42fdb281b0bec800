package databasetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// The suite fails for every driver that breaks one promise, and says which.
func TestMutants(t *testing.T) {
	about := map[*promise][]testCase{}
	for _, tc := range cases() {
		for p := range record(t, tc, plain).checked {
			about[p] = append(about[p], tc)
		}
	}
	for _, m := range slices.Concat(readingMutants, historyMutants, lockMutants, txMutants, resetMutants, metadataMutants, runMutants, journalMutants) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			var said []string
			for _, tc := range about[m.breaks] {
				out := record(t, tc, func() Target { return m.make().newTarget() })
				if out.message == "" {
					continue
				}
				if out.promise == m.breaks && strings.Contains(out.message, m.breaks.id) {
					return
				}
				said = append(said, tc.name+": "+out.message)
			}
			t.Errorf("no case failed for the promise %s; they said:\n%s", m.breaks.id, strings.Join(said, "\n"))
		})
	}
}

// Every promise has a mutant that breaks it, apart from those that say why not.
func TestPromisesHaveMutants(t *testing.T) {
	without := map[*promise]string{
		contract: "says nothing that could be broken",
	}
	for _, m := range slices.Concat(readingMutants, historyMutants, lockMutants, txMutants, resetMutants, metadataMutants, runMutants, journalMutants) {
		without[m.breaks] = m.name
	}
	for _, p := range promises {
		if without[p] == "" {
			t.Errorf("no mutant breaks the promise %s", p.id)
		}
	}
}

// The rest makes mutants.

// ofFound alters what Begin, or for a run Guard, has found.
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
