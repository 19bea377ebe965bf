package mappings

import (
	"strings"

	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A markRule marks reports: those that are kept and never sent (ignore), or kept and
// taken for nothing (quarantine).
type markRule struct {
	when   condition
	says   string // the condition as it is written
	reason string
	at     string // file:line
	from   place
}

// markRules reads a list of rules, each with when and reason. does is what they do.
func (c *compiler) markRules(n *yaml.Node, what, does string) []markRule {
	n = follow(n)
	if n.Kind != yaml.SequenceNode {
		c.mistake(c.place(n), "wrong_type", "", "%s must be a list of rules, each with when and reason, not %s", what, kindOf(n))
		return nil
	}
	var out []markRule
	for _, item := range n.Content {
		fields := c.fields(item, "a rule of "+what, "when", "reason")
		if follow(item).Kind != yaml.MappingNode {
			continue
		}
		when, hasWhen := fields["when"]
		reason, hasReason := fields["reason"]
		if !hasWhen {
			c.mistake(c.place(item), "no_condition", "", "the rule has no when: which events does it %s?", does)
		}
		if !hasReason {
			c.mistake(c.place(item), "no_reason", "", "the rule has no reason: it is what counts and reports call it")
		}
		if !hasWhen || !hasReason {
			continue
		}
		word, ok := c.word(reason.value, "reason")
		if ok && (len(word) > maxName || !snakeCase.MatchString(word)) {
			c.mistake(c.place(follow(reason.value)), "bad_reason", inSnake(word), "%s is no reason: small letters, digits and single _ between them", shown(word))
			ok = false
		}
		cond, compiled := c.condition(when.value, does+"s")
		if ok && compiled {
			out = append(out, markRule{when: cond, says: strings.TrimSpace(follow(when.value).Value), reason: word, at: c.place(item).String(), from: c.place(item)})
		}
	}
	return out
}

// A marker asks rules about one report. It reads the report's fields once, and only where
// there is a rule.
type marker struct {
	a  *asked
	vm *vm.VM
}

// first gives the first rule of a kind that holds, in the nearest section first; nil when
// none does. With an error it gives the rule that could not be evaluated. name is the
// canonical one, "" where the report becomes no event.
func (mk *marker) first(kind func(*section) []markRule, near [3]*section, r *canonical.Report, rc *canonical.Receipt, name string) (*markRule, error) {
	for _, s := range near {
		if s == nil {
			continue
		}
		rules := kind(s)
		for i := range rules {
			if mk.a == nil {
				mk.a, mk.vm = ask(r, rc, name), &vm.VM{}
			}
			holds, err := rules[i].when.holds(mk.a, mk.vm)
			if holds || err != nil {
				return &rules[i], err
			}
		}
	}
	return nil, nil
}

func ignoreRules(s *section) []markRule     { return s.ignore }
func quarantineRules(s *section) []markRule { return s.quarantine }
