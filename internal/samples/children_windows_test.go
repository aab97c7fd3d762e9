package samples_test

func callsInChildren(times, map[string][2]string) map[string]call { return nil }

func beChild() {}
