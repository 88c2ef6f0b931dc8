package retention

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// shownTime is how times are written in sentences.
func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func newestOf(n int) string {
	return fmt.Sprintf("it is one of the newest %d good recovery points, which the policy keeps at least", n)
}

// by names the rule, and why it is that one.
func (p Point) by() string {
	rule := "a rule that is not known"
	if p.Rule != "" {
		rule = "rule " + p.Rule
	}
	if p.Reason == "" {
		return "by " + rule
	}
	return "by " + rule + " (" + p.Reason + ")"
}

// explain is a decision in a sentence.
func (p Point) explain(d Decision, h held, terms Terms) string {
	operational := p.Operational.explain(d.Operational, h.operational, p, terms)
	switch {
	case d.Operational == Nothing && d.Vault == Nothing:
		return "in no tier"
	case d.Vault == Nothing:
		return operational
	}
	var vault string
	switch d.Vault {
	case Copy:
		vault = "to be copied now"
	case CopyLater:
		vault = "to be copied on " + shownTime(p.copyAt())
	default:
		vault = p.Vault.explain(d.Vault, h.vault, p, terms)
	}
	if d.Operational == Nothing {
		return vault + ", in the vault tier"
	}
	return "operational tier: " + operational + "; vault tier: " + vault
}

// explain is the part of the sentence that is about a tier which has the point.
func (t Tier) explain(fate Fate, holds []string, p Point, terms Terms) string {
	switch {
	case fate == Expire:
		return "expires: its time was up on " + shownTime(t.Expires) + ", " + p.by()
	case !t.Expires.IsZero() && terms.Now.Before(t.Expires):
		return "kept until " + shownTime(t.Expires) + ", " + p.by() + t.beyond(p, terms)
	}
	var why []string
	if p.Awaited() {
		why = append(why, "it is not in the vault tier yet")
	}
	why = append(why, holds...)
	if t.Expires.IsZero() {
		return "kept: " + cmp.Or(strings.Join(why, ", and "), "nothing says until when")
	}
	return "kept though its time was up on " + shownTime(t.Expires) + ": " + strings.Join(why, ", and ")
}

// beyond is what is to be said of a recovery point whose time is not up.
func (t Tier) beyond(p Point, terms Terms) string {
	switch {
	case terms.Stopped:
		return ", and for as long as protection is stopped"
	case p.Held != "":
		return ", and for as long as it is under legal hold: " + p.Held
	case terms.Immutable:
		return "; the vault is immutable: nothing deletes it before"
	}
	return ""
}
