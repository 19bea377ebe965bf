package wire

import (
	"fmt"
	"strings"
	"testing"

	"tributary/canonical"
)

// Every subscription type of the HubSpot sheet §1.2, classic and generic, with the fields of §1.3:
// what each is read as. A type that is not in the sheet is kept with a reason.
func TestEverySubscriptionType(t *testing.T) {
	fields := map[string]string{
		"creation": `"objectId":300000000001,"changeFlag":"NEW",`, "deletion": `"objectId":300000000001,"changeFlag":"DELETED",`, "restore": `"objectId":300000000001,`,
		"propertyChange":    `"objectId":300000000001,"propertyName":"city","propertyValue":"Bern",`,
		"merge":             `"primaryObjectId":300000000001,"mergedObjectIds":[300000000002],"newObjectId":300000000009,"numberOfPropertiesMoved":4,`,
		"associationChange": `"associationType":"%s_TO_CONTACT","fromObjectId":300000000001,"toObjectId":300000000002,"associationRemoved":false,"isPrimaryAssociation":false,`,
		"privacyDeletion":   `"objectId":300000000001,`, "newMessage": `"objectId":300000000001,"messageId":"m","messageType":"MESSAGE",`, "completed": `"objectId":300000000001,`,
	}
	subjects := map[string]canonical.Subject{
		"creation": canonical.SubjectProperty, "propertyChange": canonical.SubjectProperty, "newMessage": canonical.SubjectProperty, "deletion": canonical.SubjectDeletion, "restore": canonical.SubjectDeletion,
		"privacyDeletion": canonical.SubjectDeletion, "merge": canonical.SubjectMerge, "associationChange": canonical.SubjectAssociation,
	}
	all := "creation deletion propertyChange merge restore associationChange"
	rows := map[string]string{
		"contact": all + " privacyDeletion", "company": all, "deal": all, "ticket": all, "line_item": all, "product": "creation deletion propertyChange merge restore",
		"conversation": "creation deletion propertyChange newMessage privacyDeletion", "event": "completed",
		"0-1": all, "0-2": all, "0-3": all, "0-5": all, "0-7": all, "0-8": all, "0-136": all, "2-4200001": all, // generic
	}
	seen := 0
	for object, changes := range rows {
		for _, change := range strings.Fields(changes) {
			name, more := object, fields[change]
			if strings.Contains(object, "-") {
				name, more = "object", fmt.Sprintf(`"objectTypeId":%q,`, object)+strings.Replace(fields[change], "%s_TO_CONTACT", "", 1)
				more = strings.Replace(more, `"fromObjectId"`, fmt.Sprintf(`"fromObjectTypeId":%q,"toObjectTypeId":"0-1","associationTypeId":4,"associationCategory":"HUBSPOT_DEFINED","fromObjectId"`, object), 1)
			}
			more = strings.Replace(more, "%s", strings.ToUpper(object), 1)
			for _, key := range []string{"subscriptionType", "eventType"} { // an old sample spells it so
				seen++
				body := strings.Replace(hook(name, change, more), "subscriptionType", key, 1)
				r, p := Read(receipt(canonical.WayHubSpot, body), Settings{})
				if change == "completed" {
					if p == nil || p.Code != CodeUnknown {
						t.Errorf("%s.%s: %v", object, change, p)
					}
					continue
				}
				if p != nil {
					t.Errorf("%s.%s: %v", object, change, p)
					continue
				}
				kind := objectType(object)
				if want := kind + "." + change; r.Event != want || r.Subject != subjects[change] || r.Object.Type != kind || r.Reported {
					t.Errorf("%s.%s is read as %s %s of %+v", object, change, r.Event, r.Subject, r.Object)
				}
				if r.Forgotten != (object == "contact" && change == "privacyDeletion") || r.Restored != (change == "restore") {
					t.Errorf("%s.%s: forgotten %v, restored %v", object, change, r.Forgotten, r.Restored)
				}
				id := map[bool]string{true: "300000000009", false: "300000000001"}[change == "merge"]
				if r.Object.ID != id || (r.Merge != nil) != (change == "merge") || (r.Association != nil) != (change == "associationChange") {
					t.Errorf("%s.%s: %+v, %+v, %+v", object, change, r.Object, r.Merge, r.Association)
				}
				bare := (kind == "contact" || kind == "company" || kind == "deal") && (change == "creation" || change == "propertyChange")
				if Bare(receipt(canonical.WayHubSpot, body)) != bare {
					t.Errorf("%s.%s: bare is not %v", object, change, bare)
				}
			}
		}
	}
	t.Logf("%d bodies", seen)
}

// What a sensitive property holds is not told; the word in its place is no value.
func TestRedactedIsNoValue(t *testing.T) {
	r := read(t, canonical.WayHubSpot, hook("object", "propertyChange", `"objectTypeId":"0-1","objectId":1,"propertyName":"illness","propertyValue":"REDACTED","isSensitive":true,`))
	if r.Property != "illness" || r.Value != "" || r.Properties["value"] != nil {
		t.Errorf("%q %v", r.Value, r.Properties)
	}
	if r := read(t, canonical.WayHubSpot, hook("contact", "propertyChange", `"objectId":1,"propertyName":"note","propertyValue":"REDACTED",`)); r.Value != "REDACTED" {
		t.Errorf("a text that happens to read so became %q", r.Value)
	}
}
