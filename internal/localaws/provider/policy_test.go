package provider

import "testing"

func TestSamePolicy(t *testing.T) {
	t.Parallel()
	const wanted = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["a:B"],"Resource":["x","y"]}]}`
	for live, same := range map[string]bool{
		wanted: true,
		`{"Statement":{"Action":"a:B","Principal":"*","Resource":["x","y"],"Effect":"Allow"},"Version":"2012-10-17"}`:                           true,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":["a:B"],"Resource":["x","y"]}]}`:                false,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["a:B"],"Resource":["x"]}]}`:                   false,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"*"},"Action":["a:B"],"Resource":["x","y"]}]}`:           false,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*","Service":"s"},"Action":["a:B"],"Resource":["x","y"]}]}`: false,
		`not JSON`: false,
	} {
		if got := samePolicy(live, wanted); (got == wanted) != same {
			t.Errorf("%s: same %v, want %v", live, got == wanted, same)
		}
	}
}
