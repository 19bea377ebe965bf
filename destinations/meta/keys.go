package meta

// A key is one of user_data. They are numbered in the order of their names, which is the
// order in which they are written.
type key uint8

// The keys that may be sent (meta.md §2.1, §2.2).
const (
	keyAnonID key = iota
	keyIP
	keyAgent
	keyCountry
	keyCity
	keyWhatsAppClick
	keyBirth
	keyBirthDay
	keyBirthMonth
	keyBirthYear
	keyEmail
	keyExternalID
	keyFirst5
	keyLast5
	keyLoginID
	keyClick
	keyBrowser
	keyInitial
	keyFirstName
	keyGender
	keyInstagramAccount
	keyInstagramSID
	keyInstagramBusiness
	keyLead
	keyLastName
	keyDevice
	keyPage
	keyPageUser
	keyPhone
	keyState
	keySubscription
	keyWhatsAppAccount
	keyZip
	keys
)

// As Meta writes them.
var keyNames = [keys]string{
	"anon_id", "client_ip_address", "client_user_agent", "country", "ct", "ctwa_clid", "db", "dobd", "dobm", "doby",
	"em", "external_id", "f5first", "f5last", "fb_login_id", "fbc", "fbp", "fi", "fn", "ge", "ig_account_id", "ig_sid",
	"instagram_business_account_id", "lead_id", "ln", "madid", "page_id", "page_scoped_user_id", "ph", "st",
	"subscription_id", "whatsapp_business_account_id", "zp",
}

// A keySet holds keys.
type keySet uint64

func setOf(list ...key) (s keySet) {
	for _, k := range list {
		s |= 1 << k
	}
	return s
}

func (s keySet) has(k key) bool { return s&(1<<k) != 0 }

var (
	// hashedKeys are sent as lists of SHA-256 and may arrive hashed (canonical.Contact.Hashed).
	hashedKeys = setOf(keyEmail, keyPhone, keyFirstName, keyLastName, keyBirth, keyGender, keyCity, keyState, keyZip, keyCountry, keyExternalID,
		keyFirst5, keyLast5, keyInitial, keyBirthDay, keyBirthMonth, keyBirthYear)
	// numberKeys are written as JSON numbers.
	numberKeys = setOf(keyLead, keyLoginID)
	// toldKeys come in Meta's own format only; they are passed on as they are.
	toldKeys = setOf(keyAnonID, keyWhatsAppClick, keyInstagramAccount, keyInstagramSID, keyInstagramBusiness, keyDevice, keyPage, keyPageUser,
		keySubscription, keyWhatsAppAccount, keyLoginID)
	// asked are the keys of which Match always says something.
	asked = setOf(keyEmail, keyPhone, keyFirstName, keyLastName, keyBirth, keyGender, keyCity, keyState, keyZip, keyCountry, keyExternalID,
		keyClick, keyBrowser, keyLead)
)

// insufficient are the sets of which Meta refuses any that holds nothing else
// (100/2804050).
var insufficient = []keySet{
	setOf(keyCity, keyCountry, keyState, keyZip, keyGender, keyAgent),
	setOf(keyBirth, keyAgent),
	setOf(keyFirstName, keyGender),
	setOf(keyLastName, keyGender),
}

// sufficient says whether Meta takes an event with these keys. A CRM contact id alone is
// taken and yet finds nobody unless the site's pixel sends the same one.
func (s keySet) sufficient(externalIDAlone bool) bool {
	if !externalIDAlone {
		s &^= setOf(keyExternalID)
	}
	for _, set := range insufficient {
		if s&^set == 0 {
			return false
		}
	}
	return true
}
