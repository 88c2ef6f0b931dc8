package tiertest_test

import (
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/test/tiertest"
)

func TestMemoryConforms(t *testing.T) {
	tiertest.Run(t, func(*testing.T) tiertest.Subject {
		m := &tiertest.Memory{Looks: 3}
		return tiertest.Subject{Open: func(*testing.T) catalogue.Vaulting { return m }, Whole: m.Whole, All: m.All}
	})
}
