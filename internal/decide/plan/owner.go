package plan

import (
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// remadeByOwner says why an object is not restored beside its owner. An owner that does not come about makes nothing: then
// the object is restored.
func (m *maker) remadeByOwner(item *Item) string {
	if !remadeTypes[item.GroupResource] || m.request.RolloutHistory && rolloutHistory[item.GroupResource] {
		return ""
	}
	for _, o := range item.Owners {
		if !o.Controller || !controllers[groupOf(o.APIVersion)+"/"+o.Kind] {
			continue
		}
		if at, archived := m.byUID[o.UID]; archived && m.comesAbout(at) {
			return fmt.Sprintf("%s %s makes it", o.Kind, o.Name)
		}
	}
	return ""
}

// comesAbout says whether an object is restored, or made by one that is.
func (m *maker) comesAbout(i int) bool {
	item := &m.items[i]
	_, _, served := m.served.For(item.GroupResource, item.APIVersion)
	return m.decisions[i].Include && item.remade == "" && (served || m.planned[item.GroupResource.String()])
}

// own links an object to those of its owners that the plan brings about. Without the others it is better off: Kubernetes
// collects what belongs to something that does not exist.
func (m *maker) own(s *Step, present func(item int) bool) {
	owners := m.items[s.Item].Owners
	linked := owners[:0:0]
	for _, o := range owners {
		if at, archived := m.byUID[o.UID]; archived && present(at) {
			linked = append(linked, o)
			continue
		}
		s.because(fmt.Sprintf("it is left without its owner %s %s, which is not restored", o.Kind, o.Name))
	}
	s.Owners = linked
	if len(linked) == 0 {
		s.Owners = []coffer.OwnerReference(nil)
	}
}
