package drivers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Owner is the process, or one Database of it, that creates copies and scratch databases. It holds
// a lock with its key as long as it lives. What it creates has the key in its name, so everybody
// can find out whether it is still in use.
type Owner struct {
	// Key is the key of the lock: positive, and chosen at random.
	Key int64
	n   atomic.Int64
}

// NewOwner returns an owner with a new key.
func NewOwner() *Owner { return &Owner{Key: rand.Int64()} }

// Names of copies, scratch databases and templates end with a part of the checksum of what is
// before. So nobody gives such a name to another database by accident, and whatever has one may be
// removed.
const (
	copyPrefix     = "whimbrel_test_"
	scratchPrefix  = "whimbrel_scratch_"
	templatePrefix = "whimbrel_template_"
	sparePrefix    = "whimbrel_spare_"
)

// OwnedLike is a pattern for LIKE that all names of copies, scratch databases, templates and spares
// match, with the backslash as its escape.
const OwnedLike = `whimbrel\_%`

// Next returns a name for a new copy.
func (o *Owner) Next() string { return o.next(copyPrefix) }

// NextScratch returns a name for a new scratch database.
func (o *Owner) NextScratch() string { return o.next(scratchPrefix) }

func (o *Owner) next(prefix string) string {
	return checked(fmt.Sprintf("%s%016x_%d", prefix, o.Key, o.n.Add(1)))
}

// templateFormat changes if a driver makes templates in another way.
const templateFormat = "1"

// TemplateName returns the name of the template with a key. place is whatever else the contents
// depend on, such as the user who makes it.
func TemplateName(key string, place ...string) string {
	h := sha256.New()
	for _, part := range append([]string{templateFormat, key}, place...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return checked(templatePrefix + hex.EncodeToString(h.Sum(nil)[:12]))
}

func checked(name string) string {
	sum := sha256.Sum256([]byte("whimbrel clone " + name))
	return name + "_" + hex.EncodeToString(sum[:4])
}

// OwnerOf returns the key of the owner of a copy or a scratch database; false if the name is
// neither one's.
func OwnerOf(name string) (key int64, ok bool) {
	rest, isOwned := strings.CutPrefix(name, copyPrefix)
	if !isOwned {
		rest, isOwned = strings.CutPrefix(name, scratchPrefix)
	}
	if !isOwned || !rightlyChecked(name) {
		return 0, false
	}
	owner, _, _ := strings.Cut(rest, "_")
	key, err := strconv.ParseInt(owner, 16, 64)
	return key, err == nil
}

// IsTemplate reports whether a name is that of a template.
func IsTemplate(name string) bool {
	return strings.HasPrefix(name, templatePrefix) && rightlyChecked(name)
}

// Spares is how many copies of a template are kept ready.
const Spares = 2

// SpareNames returns the names of the spares of a template.
func SpareNames(template string) []string {
	key := strings.TrimPrefix(unchecked(template), templatePrefix)
	var names []string
	for i := range Spares {
		names = append(names, checked(fmt.Sprintf("%s%s_%d", sparePrefix, key, i+1)))
	}
	return names
}

// SpareOf returns the template of a spare; false if the name is not that of a spare.
func SpareOf(name string) (template string, ok bool) {
	rest, isSpare := strings.CutPrefix(name, sparePrefix)
	if !isSpare || !rightlyChecked(name) {
		return "", false
	}
	key, _, _ := strings.Cut(rest, "_")
	return checked(templatePrefix + key), true
}

// unchecked returns a name without its checksum.
func unchecked(name string) string { return name[:max(strings.LastIndexByte(name, '_'), 0)] }

func rightlyChecked(name string) bool {
	return checked(unchecked(name)) == name
}

// usedPrefix begins the note that a template carries: the day on which it was used last.
const usedPrefix = "whimbrel test template, last used "

// Used returns the note of a template that is used now.
func Used(now time.Time) string { return usedPrefix + now.UTC().Format(time.DateOnly) }

// Unused reports whether a template with a note was not used for as long as t says. A template
// without such a note is in use: the process that made it is about to write it, or somebody wants
// to keep it.
func Unused(note string, t database.Template, now time.Time) bool {
	return unusedFor(note, UnusedLimit(t), now)
}

// Resting reports whether a template with a note was used neither today nor yesterday, so that its
// spares are not worth their space.
func Resting(note string, now time.Time) bool { return unusedFor(note, 48*time.Hour, now) }

func unusedFor(note string, limit time.Duration, now time.Time) bool {
	day, ok := strings.CutPrefix(note, usedPrefix)
	if !ok {
		return false
	}
	last, err := time.Parse(time.DateOnly, day)
	return err == nil && now.UTC().Truncate(24*time.Hour).Sub(last) >= limit
}

// UnusedLimit returns how long a template stays that nobody uses. Its use is noted once a day, so
// it is two days at least.
func UnusedLimit(t database.Template) time.Duration {
	return max(cmp.Or(t.Unused, database.DefaultUnused), 48*time.Hour)
}
