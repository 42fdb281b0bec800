package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// terminate ends the sessions of a blockage that the caller needs to be ended. A session that waits
// for another one is ended only if none of those that wait for nobody may be.
func (o *observer) terminate(ctx context.Context, b database.Blockage) {
	if o.h.opts.Terminate == nil {
		return
	}
	var first, rest []database.Blocker
	for _, one := range b.Blockers {
		switch {
		case one.Exempt != "":
		case len(one.BlockedBy) == 0:
			first = append(first, one)
		default:
			rest = append(rest, one)
		}
	}
	if len(first) == 0 {
		first = rest
	}
	for _, one := range first {
		if ctx.Err() == nil && o.h.opts.Terminate(one) {
			o.end(one)
		}
	}
}

// end ends a session if it is still the one that was seen.
func (o *observer) end(b database.Blocker) {
	if !o.h.guard.mu.TryLock() {
		return
	}
	same, err := o.same(b)
	if err == nil && same {
		err = o.kill(b.PID)
	}
	o.h.guard.mu.Unlock()
	switch {
	case err != nil && number(err) != erNoSuchThread:
		o.ended[b.PID] = "the server refuses to end it: " + err.Error()
	case err == nil && same:
		o.ended[b.PID] = "it was terminated and is rolling back"
		if o.h.opts.Terminated != nil {
			o.h.opts.Terminated(b)
		}
	}
}

// same reports whether a session is still in the transaction that was seen. Its caller holds the
// guard.
func (o *observer) same(b database.Blocker) (same bool, err error) {
	p := &picture{o: o, sessions: map[int64]peer{}}
	p.readTransactions()
	p.readSessions()
	s, there := p.sessions[b.PID]
	host, _, _ := strings.Cut(s.host, ":")
	same = there && s.user == b.User && host == b.Host
	if b.Since.IsZero() {
		return same && (b.Kind != database.BlockerIdle || s.command == "Sleep"), nil
	}
	began := false
	for _, t := range p.transactions {
		began = began || t.session == b.PID && t.since.Equal(b.Since)
	}
	return same && began, nil
}

func (o *observer) kill(id int64) error {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	_, err := o.h.guard.c.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id))
	if broken(err) {
		o.h.guard.c.gone = true
	}
	return err
}

// exemption returns why a session is never terminated; "" if it may be.
func (p *picture) exemption(b database.Blocker, s peer, there, sure bool) string {
	switch {
	case p.o.ended[b.PID] != "":
		return p.o.ended[b.PID]
	case b.Kind == database.BlockerMigration:
		return "it is another migration"
	case b.Kind == database.BlockerReplica:
		return "it replicates"
	case !there:
		return "the server does not show whose session it is"
	case s.command == "Daemon" || s.user == "event_scheduler":
		return "it belongs to the server"
	case s.command == "Killed":
		return "it was terminated and is rolling back"
	case !sure:
		return "the server does not say whether it holds the lock"
	}
	return p.o.superuser(s.user)
}

// superuser returns why the sessions of a user are never terminated; "" if they may be. Not
// everybody may see the privileges of other users.
func (o *observer) superuser(user string) string {
	if o.exempt == nil {
		o.exempt = map[string]string{}
		o.ask(`SELECT grantee, max(privilege_type IN ('SUPER', 'CONNECTION ADMIN', 'CONNECTION_ADMIN', 'SYSTEM_USER')) FROM information_schema.user_privileges GROUP BY grantee`,
			func(scan func(...any) error) error {
				var grantee string
				var super bool
				err := scan(&grantee, &super)
				name := grantee
				if i := strings.LastIndex(grantee, "'@'"); i > 0 {
					name = grantee[1:i]
				}
				if super {
					o.exempt[name] = "its user may end sessions of others (SUPER, CONNECTION ADMIN)"
				} else if o.exempt[name] == "" {
					o.exempt[name] = notSuper
				}
				return err
			})
	}
	switch why := o.exempt[user]; why {
	case notSuper:
		return ""
	case "":
		return "it can't be seen whether its user is a superuser: GRANT SELECT ON mysql.* shows it"
	default:
		return why
	}
}

// notSuper marks a user who is known not to be a superuser.
const notSuper = "none"
