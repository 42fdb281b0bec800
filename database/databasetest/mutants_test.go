package databasetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// The suite fails for each driver that breaks a promise, and names that promise.
func TestMutants(t *testing.T) {
	about := map[*promise][]testCase{}
	for _, tc := range cases() {
		for p := range record(t, tc, plain).checked {
			about[p] = append(about[p], tc)
		}
	}
	for _, m := range slices.Concat(readingMutants, historyMutants, lockMutants, txMutants, resetMutants, metadataMutants, runMutants, journalMutants, cloneMutants) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			var failures []string
			for _, tc := range about[m.breaks] {
				out := record(t, tc, func() Target { return m.make().newTarget() })
				if out.message == "" {
					continue
				}
				if out.promise == m.breaks && strings.Contains(out.message, m.breaks.id) {
					return
				}
				failures = append(failures, tc.name+": "+out.message)
			}
			t.Errorf("no case failed for the promise %s; the failures:\n%s", m.breaks.id, strings.Join(failures, "\n"))
		})
	}
}

// A mutant breaks each promise.
func TestPromisesHaveMutants(t *testing.T) {
	without := map[*promise]string{
		contract: "has no case of its own",
	}
	for _, m := range slices.Concat(readingMutants, historyMutants, lockMutants, txMutants, resetMutants, metadataMutants, runMutants, journalMutants, cloneMutants) {
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
