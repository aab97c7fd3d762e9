// Package palette has the colours of the lab's pages, reports and pictures, in one
// place so that a strategy looks the same in each. The colours are CSS variables:
// only these follow the reader's choice of light or dark.
package palette

// Strategies is how many colours of strategies there are, --s0 and on: each strategy has one.
const Strategies = 16

// Picture is the CSS that a picture needs. The colours of strategies are those of
// Okabe and Ito, which most colour-blind people can tell apart, each darker or
// lighter where it needs to be to stand out from the page by 3:1: grey, which is
// the baseline's, vermillion, blue, reddish purple, bluish green, orange, sky blue
// and yellow. The next are as far from these and from each other as colours can be:
// brown, violet, magenta, pine, ultramarine, periwinkle, moss and red. On paper the
// scheme is the light one.
const Picture = ":root{color-scheme:light dark;--paper:light-dark(#fff,#16181c);--ink:light-dark(#1b1b1b,#e8e8e8);" +
	"--soft:light-dark(#5a5f66,#a7adb5);--line:light-dark(#d9dce0,#363b42);" +
	"--drain:light-dark(#e9edf2,#262b33);--probe:light-dark(#f6ecd5,#3a3222);" +
	"--s0:light-dark(#6b7078,#a7adb5);--s1:light-dark(#d55e00,#e8702a);--s2:light-dark(#0072b2,#3d9bdc);" +
	"--s3:light-dark(#b5568c,#d58ab5);--s4:light-dark(#008a65,#1fb88f);--s5:light-dark(#a87400,#e69f00);" +
	"--s6:light-dark(#2b8cc4,#8fd0f5);--s7:light-dark(#857c00,#f0e442);" +
	"--s8:light-dark(#68130b,#79635f);--s9:light-dark(#51138e,#8747d7);--s10:light-dark(#793064,#c434a0);--s11:light-dark(#034239,#38f7db);" +
	"--s12:light-dark(#3041ca,#5573ff);--s13:light-dark(#706afc,#a2a8fc);--s14:light-dark(#3f6246,#698e70);--s15:light-dark(#a43427,#d02010)}@media print{:root{color-scheme:light}}"

// Page is the CSS that a page needs: Picture, the colours of links, alarms, fields and
// panels, the sizes of text from the labels of bars to the title of a page, and a class a
// strategy, .of-s0 and on, that sets its colour as --c.
const Page = Picture + ":root{--t1:.75rem;--t2:.85rem;--t3:1rem;--t4:1.25rem;--t5:1.5rem;--link:light-dark(#0550ae,#7ab7ff);--alarm:light-dark(#a4001d,#ff8d8d);--hot:var(--s1);" +
	"--field:light-dark(#878d95,#737a84);--panel:light-dark(#f4f5f7,#1f2329);--mark:light-dark(#fff3c4,#3d3520)}" +
	".of-s0{--c:var(--s0)}.of-s1{--c:var(--s1)}.of-s2{--c:var(--s2)}.of-s3{--c:var(--s3)}.of-s4{--c:var(--s4)}.of-s5{--c:var(--s5)}.of-s6{--c:var(--s6)}.of-s7{--c:var(--s7)}" +
	".of-s8{--c:var(--s8)}.of-s9{--c:var(--s9)}.of-s10{--c:var(--s10)}.of-s11{--c:var(--s11)}.of-s12{--c:var(--s12)}.of-s13{--c:var(--s13)}.of-s14{--c:var(--s14)}.of-s15{--c:var(--s15)}"
