package graph

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// expression is a value of a row. What is not there is nil.
type expression func(*effort, Row) any

type parser struct {
	query  string
	tokens []token
	at     int
	depth  int
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) expect(value string) error {
	if !strings.EqualFold(p.peek().value, value) || p.peek().kind == text {
		return p.unexpected(value)
	}
	p.at++
	return nil
}

func (p *parser) unexpected(wanted string) error {
	return refused("the query cannot be understood at %.40q: there should be %s", p.query[p.peek().at:], wanted)
}

// expression reads conditions joined by or.
func (p *parser) expression() (expression, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, refused("the query nests deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	return p.joined("or", func() (expression, error) { return p.joined("and", p.comparison) })
}

func (p *parser) joined(by string, operand func() (expression, error)) (expression, error) {
	left, err := operand()
	for err == nil && p.peek().kind == word && strings.EqualFold(p.peek().value, by) {
		p.at++
		first := left
		var second expression
		if second, err = operand(); err != nil {
			return nil, err
		}
		left = func(e *effort, r Row) any {
			if !e.spend(1) {
				return nil
			}
			yes, _ := first(e, r).(bool)
			if yes == (by == "or") {
				return yes
			}
			also, _ := second(e, r).(bool)
			return also
		}
	}
	return left, err
}

// comparisons are by operator; those of words do not mind the case but for "in".
var comparisons = map[string]func(a, b any) bool{
	"==": func(a, b any) bool { return compare(a, b) == 0 },
	"!=": func(a, b any) bool { return compare(a, b) != 0 },
	"=~": func(a, b any) bool { return strings.EqualFold(spell(a), spell(b)) },
	"!~": func(a, b any) bool { return !strings.EqualFold(spell(a), spell(b)) },
	"<":  func(a, b any) bool { return a != nil && compare(a, b) < 0 },
	"<=": func(a, b any) bool { return a != nil && compare(a, b) <= 0 },
	">":  func(a, b any) bool { return a != nil && compare(a, b) > 0 },
	">=": func(a, b any) bool { return a != nil && compare(a, b) >= 0 },

	"startswith": func(a, b any) bool { return strings.HasPrefix(lower(a), lower(b)) },
	"endswith":   func(a, b any) bool { return strings.HasSuffix(lower(a), lower(b)) },
	"contains":   func(a, b any) bool { return strings.Contains(lower(a), lower(b)) },
	"has":        func(a, b any) bool { return strings.Contains(lower(a), lower(b)) },
}

func (p *parser) comparison() (expression, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator := strings.ToLower(p.peek().value)
	if in := strings.TrimPrefix(operator, "!"); p.peek().kind == word && (in == "in" || in == "in~") {
		p.at++
		return p.membership(left, in == "in~", in != operator)
	}
	holds, ok := comparisons[operator]
	if !ok || p.peek().kind == text {
		return left, nil
	}
	p.at++
	right, err := p.operand()
	return func(e *effort, r Row) any {
		e.spend(comparing)
		return holds(e.scalar(left(e, r)), e.scalar(right(e, r)))
	}, err
}

func (p *parser) membership(left expression, anyCase, negated bool) (expression, error) {
	values, err := p.arguments()
	same := comparisons["=="]
	if anyCase {
		same = comparisons["=~"]
	}
	return func(e *effort, r Row) any {
		e.spend(comparing * len(values))
		v := e.scalar(left(e, r))
		for _, one := range values {
			if same(v, one(e, r)) {
				return !negated
			}
		}
		return negated
	}, err
}

// operand is a value with what follows it: .field and [index].
func (p *parser) operand() (expression, error) {
	value, err := p.primary()
	for err == nil {
		switch p.peek().value {
		case ".":
			p.at++
			name := p.next()
			if name.kind != word {
				return nil, p.unexpected("the name of a field")
			}
			value = fieldOf(value, name.value)
		case "[":
			if p.peek().kind == text {
				return value, nil
			}
			p.at++
			index := p.next()
			if err = p.expect("]"); err != nil {
				return nil, err
			}
			if value, err = elementOf(value, index); err != nil {
				return nil, err
			}
		default:
			return value, nil
		}
	}
	return nil, err
}

func (p *parser) primary() (expression, error) {
	switch t := p.next(); {
	case t.kind == text:
		return func(*effort, Row) any { return t.value }, nil
	case t.kind == number:
		return func(*effort, Row) any { return json.Number(t.value) }, nil
	case t.value == "(":
		inner, err := p.expression()
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	case t.kind == moment:
		return momentOf(t)
	case t.kind == word && p.peek().value == "(" && p.peek().kind == sign:
		return p.call(strings.ToLower(t.value))
	case t.kind == word && (t.value == "true" || t.value == "false"):
		return func(*effort, Row) any { return t.value == "true" }, nil
	case t.kind == word:
		return columnOf(t.value), nil
	default:
		p.at = max(0, p.at-1)
		return nil, p.unexpected("a value")
	}
}

func momentOf(t token) (expression, error) {
	written := strings.Trim(t.value[len("datetime("):len(t.value)-1], `'" `)
	at, ok := parseTime(written)
	if !ok {
		return nil, refused("%.40q is not a time", written)
	}
	return func(*effort, Row) any { return at }, nil
}

func parseTime(written string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z", "2006-01-02Z", "2006-01-02"} {
		if at, err := time.Parse(form, written); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

func (p *parser) arguments() ([]expression, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var found []expression
	for {
		one, err := p.expression()
		if err != nil {
			return nil, err
		}
		found = append(found, one)
		if p.peek().value != "," || p.peek().kind == text {
			return found, p.expect(")")
		}
		p.at++
	}
}

// functions are by name, with how many arguments they take; -1 is any number from three.
var functions = map[string]struct {
	arguments int
	call      func(e *effort, args []any) any
}{
	"tolower":  {1, func(_ *effort, a []any) any { return lower(a[0]) }},
	"toupper":  {1, func(_ *effort, a []any) any { return strings.ToUpper(spell(a[0])) }},
	"tostring": {1, func(_ *effort, a []any) any { return spell(a[0]) }},
	"split": {2, func(e *effort, a []any) any {
		text, by := spell(a[0]), spell(a[1])
		if !e.spend(element * (strings.Count(text, by) + 1)) {
			return nil
		}
		var parts []any
		for _, s := range strings.Split(text, by) {
			parts = append(parts, s)
		}
		return parts
	}},
	"strcat": {-1, func(e *effort, a []any) any {
		var all strings.Builder
		for _, one := range a {
			text := spell(one)
			if e.left < all.Len()+len(text) {
				e.spend(all.Len() + len(text))
				return nil
			}
			all.WriteString(text)
		}
		return all.String()
	}},
	"case": {-1, func(_ *effort, a []any) any {
		for i := 0; i+1 < len(a); i += 2 {
			if yes, _ := a[i].(bool); yes {
				return a[i+1]
			}
		}
		return a[len(a)-1]
	}},
}

func (p *parser) call(name string) (expression, error) {
	f, known := functions[name]
	if !known {
		return nil, refused("the query calls %.40q, which is not understood", name)
	}
	arguments, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if f.arguments >= 0 && len(arguments) != f.arguments {
		return nil, refused("%s takes %d arguments, not %d", name, f.arguments, len(arguments))
	}
	return func(e *effort, r Row) any {
		if !e.spend(cell * (1 + len(arguments))) {
			return nil
		}
		values := make([]any, len(arguments))
		for i, a := range arguments {
			values[i] = a(e, r)
		}
		made := f.call(e, values)
		if text, ok := made.(string); ok {
			e.spend(len(text))
		}
		return made
	}, nil
}

func columnOf(name string) expression { return func(_ *effort, r Row) any { return r[name] } }

// fieldOf is a field of an object; its name is compared without case if it is not there as it is written.
func fieldOf(value expression, name string) expression {
	return func(e *effort, r Row) any {
		object, _ := value(e, r).(map[string]any)
		if v, ok := object[name]; ok || !e.spend(1+len(object)) {
			return v
		}
		for have, v := range object {
			if strings.EqualFold(have, name) {
				return v
			}
		}
		return nil
	}
}

func elementOf(value expression, index token) (expression, error) {
	if index.kind == text {
		return fieldOf(value, index.value), nil
	}
	n, err := strconv.Atoi(index.value)
	if err != nil {
		return nil, refused("%.40q is no index", index.value)
	}
	return func(e *effort, r Row) any {
		if list, ok := value(e, r).([]any); ok && n < len(list) {
			return list[n]
		}
		return nil
	}, nil
}

// spell is how a value is written; Kusto's dynamic values compare with text so.
func spell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case bool, json.Number, float64:
		return fmt.Sprint(v)
	}
	written, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(written)
}

func lower(v any) string { return strings.ToLower(spell(v)) }

// compare orders times as times, numbers as numbers, and all else as it is written.
func compare(a, b any) int {
	if x, y, ok := times(a, b); ok {
		return x.Compare(y)
	}
	first, second := spell(a), spell(b)
	x, isX := numberOf(first)
	y, isY := numberOf(second)
	if isX && isY {
		return cmp.Compare(x, y)
	}
	return strings.Compare(first, second)
}

// numberOf reads a number. A text of many digits is none.
func numberOf(written string) (float64, bool) {
	const longest = 64
	if len(written) > longest {
		return 0, false
	}
	n, err := strconv.ParseFloat(written, 64)
	return n, err == nil
}

// times are both as times, if one is one.
func times(a, b any) (x, y time.Time, ok bool) {
	x, isA := a.(time.Time)
	y, isB := b.(time.Time)
	switch {
	case isA && !isB:
		y, isB = parseTime(spell(b))
	case isB && !isA:
		x, isA = parseTime(spell(a))
	}
	return x, y, isA && isB
}
