package arm

// Bounds of a policy. Azure's own are smaller.
const (
	MaxRules     = 100
	MaxTags      = 100
	MaxIntervals = 100
	MaxWindows   = 20
)

// WeekDays and the functions after it are the words of criteria, in the order of the calendar.
func WeekDays() []Word {
	return []Word{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
}

// Months are those of a year.
func Months() []Word {
	return []Word{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
}

// WeeksOfMonth are those of a month.
func WeeksOfMonth() []Word { return []Word{"First", "Second", "Third", "Fourth", "Last"} }

// Problems are what is wrong with the form of a policy: words that are not possible, and fields that are missing.
func (p *Policy) Problems(at string) []Problem {
	var f form
	f.word(At(at, "objectType"), p.ObjectType, TypeBackupPolicy)
	if types := At(at, "datasourceTypes"); f.required(types, len(p.DatasourceTypes) > 0, ManagedClusters) && f.count(types, len(p.DatasourceTypes), 1) {
		f.word(Item(types, 0), Word(p.DatasourceTypes[0]), ManagedClusters)
	}
	rules := At(at, "policyRules")
	if f.required(rules, len(p.PolicyRules) > 0, "one AzureBackupRule and at least one AzureRetentionRule") && f.count(rules, len(p.PolicyRules), MaxRules) {
		for i := range p.PolicyRules {
			p.PolicyRules[i].form(Item(rules, i), &f)
		}
	}
	if p.Coffer != nil {
		p.Coffer.form(At(at, "coffer"), &f)
	}
	return f
}

func (o *CofferPolicyOptions) form(at string, f *form) {
	if path := At(at, "exclusionWindows"); f.count(path, len(o.ExclusionWindows), MaxWindows) {
		for i, w := range o.ExclusionWindows {
			path := Item(path, i)
			f.required(At(path, "start"), w.Start != "", "an interval such as R/2026-01-31T02:30:00+00:00/P1D")
			f.required(At(path, "duration"), w.Duration != "", "an ISO-8601 duration such as PT8H")
		}
	}
	f.optional(At(at, "existingRecoveryPoints"), o.ExistingRecoveryPoints, KeepExisting, AdoptExisting)
}

func (r *PolicyRule) form(at string, f *form) {
	if !f.word(At(at, "objectType"), r.ObjectType, TypeBackupRule, TypeRetentionRule) {
		return
	}
	f.text(At(at, "name"), r.Name, maxText)
	if r.ObjectType.Is(TypeRetentionRule) {
		path := At(at, "lifecycles")
		if f.required(path, len(r.Lifecycles) > 0, "how long which tier keeps recovery points") && f.count(path, len(r.Lifecycles), 10) {
			for i := range r.Lifecycles {
				r.Lifecycles[i].form(Item(path, i), f)
			}
		}
		return
	}
	if b := r.BackupParameters; b != nil {
		f.word(At(at, "backupParameters.objectType"), b.ObjectType, TypeBackupParams)
		f.word(At(at, "backupParameters.backupType"), b.BackupType, "Incremental")
	}
	r.DataStore.form(At(at, "dataStore"), f, OperationalStore)
	if path := At(at, "trigger"); f.required(path, r.Trigger != nil) {
		r.Trigger.form(path, f)
	}
}

func (d *DataStore) form(at string, f *form, possible ...Word) {
	if f.required(at, d != nil) {
		f.word(At(at, "objectType"), d.ObjectType, TypeDataStore)
		f.word(At(at, "dataStoreType"), d.DataStoreType, possible...)
	}
}

func (t *Trigger) form(at string, f *form) {
	if !f.word(At(at, "objectType"), t.ObjectType, TypeScheduleTrigger) {
		return
	}
	if path := At(at, "schedule"); f.required(path, t.Schedule != nil) {
		path = At(path, "repeatingTimeIntervals")
		if n := len(t.Schedule.RepeatingTimeIntervals); f.required(path, n > 0, "intervals such as R/2026-01-31T02:30:00+00:00/PT4H") {
			f.count(path, n, MaxIntervals)
		}
	}
	path := At(at, "taggingCriteria")
	if !f.required(path, len(t.TaggingCriteria) > 0, "at least the tag of the default rule") || !f.count(path, len(t.TaggingCriteria), MaxTags) {
		return
	}
	for i := range t.TaggingCriteria {
		t.TaggingCriteria[i].form(Item(path, i), f)
	}
}

func (t *TaggingCriterion) form(at string, f *form) {
	f.required(At(at, "isDefault"), t.IsDefault != nil, "true of the default tag, and false of all others")
	f.required(At(at, "taggingPriority"), t.TaggingPriority != nil, "a whole number of its own")
	if path := At(at, "tagInfo"); f.required(path, t.TagInfo != nil, "a tagName, which is the name of a retention rule") {
		f.text(At(path, "tagName"), t.TagInfo.TagName, maxText)
	}
	if path := At(at, "criteria"); f.count(path, len(t.Criteria), 100) {
		for i := range t.Criteria {
			t.Criteria[i].form(Item(path, i), f)
		}
	}
}

func (c *Criterion) form(at string, f *form) {
	f.word(At(at, "objectType"), c.ObjectType, TypeCriteria)
	for _, list := range []struct {
		field    string
		words    []Word
		possible []Word
	}{
		{"absoluteCriteria", c.AbsoluteCriteria, []Word{AllBackup, FirstOfDay, FirstOfWeek, FirstOfMonth, FirstOfYear}},
		{"daysOfTheWeek", c.DaysOfTheWeek, WeekDays()},
		{"monthsOfYear", c.MonthsOfYear, Months()},
		{"weeksOfTheMonth", c.WeeksOfTheMonth, WeeksOfMonth()},
	} {
		path := At(at, list.field)
		if f.count(path, len(list.words), 100) {
			for i, w := range list.words {
				f.word(Item(path, i), w, list.possible...)
			}
		}
	}
	f.count(At(at, "daysOfMonth"), len(c.DaysOfMonth), 100)
	f.count(At(at, "scheduleTimes"), len(c.ScheduleTimes), 1000)
}

func (l *Lifecycle) form(at string, f *form) {
	if path := At(at, "deleteAfter"); f.required(path, l.DeleteAfter != nil) {
		f.word(At(path, "objectType"), l.DeleteAfter.ObjectType, TypeAbsoluteDelete)
		f.duration(At(path, "duration"), l.DeleteAfter.Duration)
	}
	l.SourceDataStore.form(At(at, "sourceDataStore"), f, OperationalStore, VaultStore)
	path := At(at, "targetDataStoreCopySettings")
	if !f.count(path, len(l.TargetDataStoreCopySettings), 10) {
		return
	}
	for i, c := range l.TargetDataStoreCopySettings {
		path := Item(path, i)
		c.DataStore.form(At(path, "dataStore"), f, VaultStore)
		if path := At(path, "copyAfter"); f.required(path, c.CopyAfter != nil) &&
			f.word(At(path, "objectType"), c.CopyAfter.ObjectType, TypeCopyAtOnce, TypeCopyOnExpiry, TypeCopyAfter) &&
			c.CopyAfter.ObjectType.Is(TypeCopyAfter) {
			f.duration(At(path, "duration"), c.CopyAfter.Duration)
		}
	}
}

// duration is text for one that may not be left out.
func (f *form) duration(path, value string) {
	if f.required(path, value != "", "an ISO-8601 duration such as P7D") {
		f.text(path, value, maxText)
	}
}
