package canonical

import "strings"

// FreeMail is true for domains at which anybody can have a mailbox: they say nothing
// about a company and never become an account. The domain may come in any case, with
// white space or a final dot; subdomains are domains of their own.
func FreeMail(domain string) bool {
	_, ok := freeMail[strings.TrimSuffix(strings.ToLower(strings.TrimSpace(domain)), ".")]
	return ok
}

// SharedMailbox is true for an address that is read by several people or by a machine
// (info@, sales@, noreply@, test@): it is no ground to call two people one. A plus-tag
// does not hide it. What is no address is no mailbox.
func SharedMailbox(address string) bool {
	local, _, ok := strings.Cut(NormalEmail(address), "@")
	if !ok {
		return false
	}
	local, _, _ = strings.Cut(local, "+")
	_, shared := sharedMailboxes[local]
	return shared
}

// freeMail holds providers of personal mailboxes, forwarding and throw-away addresses.
// Widely used country forms are written out, so that look-ups stay exact.
var freeMail = set(`
	gmail.com googlemail.com
	outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp outlook.co.uk outlook.com.br outlook.com.au outlook.ie
	hotmail.com hotmail.co.uk hotmail.de hotmail.fr hotmail.es hotmail.it hotmail.nl hotmail.be hotmail.com.br hotmail.com.ar hotmail.co.jp hotmail.se hotmail.no hotmail.dk
	live.com live.co.uk live.de live.fr live.nl live.be live.it live.ca live.com.au live.com.mx live.se live.no live.dk
	msn.com passport.com windowslive.com
	yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.es yahoo.it yahoo.ca yahoo.in yahoo.co.in yahoo.co.jp yahoo.com.br yahoo.com.ar yahoo.com.mx yahoo.com.au yahoo.com.sg yahoo.com.hk yahoo.com.tw yahoo.co.id yahoo.co.nz yahoo.ie yahoo.se yahoo.no yahoo.dk yahoo.gr yahoo.ro
	ymail.com rocketmail.com myyahoo.com aol.com aol.co.uk aol.de aol.fr aim.com verizon.net
	icloud.com me.com mac.com privaterelay.appleid.com
	proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.com tuta.io hey.com
	fastmail.com fastmail.fm hushmail.com runbox.com posteo.de posteo.net mailbox.org mailfence.com startmail.com disroot.org riseup.net skiff.com
	zoho.com zohomail.com zohomail.eu zohomail.in mail.com email.com usa.com myself.com consultant.com engineer.com post.com europe.com iname.com
	inbox.com inbox.lv lycos.com excite.com rediffmail.com indiatimes.com gmx.com gmx.de gmx.net gmx.at gmx.ch gmx.us gmx.co.uk gmx.fr
	web.de freenet.de t-online.de arcor.de email.de mail.de online.de
	orange.fr wanadoo.fr free.fr sfr.fr laposte.net neuf.fr bbox.fr club-internet.fr numericable.fr
	libero.it virgilio.it tiscali.it alice.it tin.it tim.it email.it fastwebnet.it
	btinternet.com sky.com ntlworld.com virginmedia.com talktalk.net blueyonder.co.uk tiscali.co.uk
	comcast.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net optonline.net juno.com netzero.net att.net frontier.com
	rogers.com shaw.ca sympatico.ca telus.net videotron.ca
	bigpond.com bigpond.net.au optusnet.com.au iinet.net.au xtra.co.nz
	ziggo.nl kpnmail.nl planet.nl home.nl xs4all.nl hetnet.nl telenet.be skynet.be proximus.be
	bluewin.ch hispeed.ch sunrise.ch aon.at chello.at
	telia.com tele2.se bredband.net online.no wp.pl o2.pl onet.pl interia.pl op.pl gazeta.pl
	seznam.cz centrum.cz email.cz post.cz azet.sk zoznam.sk centrum.sk freemail.hu citromail.hu abv.bg mail.bg ukr.net i.ua
	yandex.com yandex.ru ya.ru mail.ru bk.ru list.ru rambler.ru internet.ru
	terra.com.br uol.com.br bol.com.br ig.com.br globo.com sapo.pt prodigy.net.mx
	qq.com foxmail.com 163.com 126.com yeah.net sina.com sina.cn sohu.com aliyun.com 139.com 189.cn 21cn.com
	naver.com daum.net hanmail.net nate.com docomo.ne.jp ezweb.ne.jp softbank.ne.jp nifty.com
	walla.co.il walla.com
	duck.com simplelogin.com simplelogin.io anonaddy.com addy.io mozmail.com passmail.net
	mailinator.com guerrillamail.com guerrillamail.info sharklasers.com 10minutemail.com temp-mail.org tempmail.com yopmail.com trashmail.com getnada.com maildrop.cc dispostable.com throwawaymail.com mailnesia.com discard.email fakeinbox.com
`)

var sharedMailboxes = set(`
	abuse accounting accounts admin administrator ap ar billing board booking bookings careers ceo cfo cio
	contact contacto contactus contact-us customercare customerservice customer-service dataprotection datenschutz
	demo desk dev devops dpo email enquiries enquiry everyone feedback finance fragen gdpr hello hello-world help helpdesk
	hey hi hola hostmaster hr info information inquiries inquiry invoice invoices it jobs kontakt legal mail mailbox
	mailer-daemon marketing me media news newsletter no-reply no_reply noreply do-not-reply donotreply nobody none noc
	notifications office operations ops order orders partner partners payments payroll people postmaster pr press privacy
	procurement purchasing qa rechnung reception recruiting root sales security service services shared shop staff
	subscribe supply support sysadmin team tech test tester testing test1 test2 unsubscribe user vertrieb web webmaster website
`)

func set(words string) map[string]struct{} {
	m := make(map[string]struct{})
	for _, w := range strings.Fields(words) {
		m[w] = struct{}{}
	}
	return m
}
