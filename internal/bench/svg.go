package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The plot's geometry, in pixels.
const (
	plotLeft, plotTop = 380, 40
	plotBar, plotGap  = 14, 26
	plotWidth         = 520
	plotDecades       = 6 // 0.1 to 100,000 harmed requests
)

// SVG plots mean harm at 50 percent failing per policy, on a log scale, one
// block per traffic level, with the false rollbacks beside each bar.
func SVG(rows []Row) []byte {
	const fault = "50%"
	var b bytes.Buffer
	tables := Tables(rows)
	height := plotTop
	for _, t := range tables {
		height += plotGap*(len(t.policies())+1) + plotGap
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", plotLeft+plotWidth+160, height)
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">Harmed requests per release when %s of green's answers fail (mean, log scale), and false rollbacks of healthy releases</text>`+"\n", fault)
	y := plotTop
	for _, t := range tables {
		y += plotGap
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%d requests a second</text>`+"\n", y, t.RPS)
		for _, policy := range t.policies() {
			y += plotGap
			r := t.row(policy, fault)
			width := plotWidth * (math.Log10(math.Max(r.HarmedMean, 0.1)) + 1) / plotDecades
			fill := "#9aa5b1"
			if policy == Ours {
				fill = "#2f855a"
			}
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-8, y, html.EscapeString(policy))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", plotLeft, y-plotBar+2, math.Max(width, 1), plotBar, fill)
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.0f, false rollback %.1f%%</text>`+"\n", plotLeft+math.Max(width, 1)+6, y, r.HarmedMean, 100*r.FalseRollback)
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
