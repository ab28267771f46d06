//! Documents of whole invoices, and of hostile ones.

use chrono::NaiveDate;

use crate::{Accent, InvoiceDocument, Line, Party, Status, email, page, pdf};

fn date(text: &str) -> Option<NaiveDate> {
    Some(text.parse().unwrap())
}

fn line(description: &str) -> Line {
    Line {
        description: description.into(),
        period: Some(("2025-01-01".parse().unwrap(), "2025-01-31".parse().unwrap())),
        detail: vec!["0 to 1,000: 1,000 × 0.002 = 2".into(), "above 1,000: 1,000 × 0.001 = 1".into()],
        quantity: "2,000".into(),
        unit_price: "tiered".into(),
        amount: "3.00".into(),
    }
}

fn document() -> InvoiceDocument {
    InvoiceDocument {
        number: Some("INV-2025-0042".into()),
        status: Status::Open,
        issued_on: date("2025-02-01"),
        due_on: date("2025-03-03"),
        period: Some(("2025-01-01".parse().unwrap(), "2025-01-31".parse().unwrap())),
        seller: Party {
            name: "Northwind Compute GmbH".into(),
            email: Some("billing@northwind.example".into()),
            address: vec!["Lindenstraße 12".into(), "10969 Berlin".into()],
            tax_id: Some("DE 312 456 789".into()),
        },
        buyer: Party {
            name: "Acme Corp".into(),
            email: Some("billing@acme.example".into()),
            address: vec!["US".into()],
            tax_id: None,
        },
        currency: "USD".into(),
        lines: vec![line("API calls")],
        subtotal: "3.00".into(),
        taxes: vec![("VAT 18 %".into(), "0.54".into())],
        total: "3.54".into(),
        deductions: Vec::new(),
        amount_due: "3.54".into(),
        memo: Some("Thank you.\nSee you next month.".into()),
        payment_link: None,
        bank_details: vec![("IBAN".into(), "DE89 3704 0044 0532 0130 00".into())],
        page_link: None,
        accent: Accent::default(),
        logo_link: None,
        created_at: "2025-02-01T01:00:00Z".parse().unwrap(),
    }
}

#[test]
fn the_same_invoice_is_always_the_same_bytes() {
    let first = pdf(&document()).unwrap();
    assert!(first.starts_with(b"%PDF-"));
    assert_eq!(first, pdf(&document()).unwrap());
    let other = InvoiceDocument { total: "3.55".into(), ..document() };
    assert_ne!(first, pdf(&other).unwrap());
}

#[test]
fn a_long_invoice_takes_several_pages() {
    let long =
        InvoiceDocument { lines: (0..200).map(|n| line(&format!("Line {n}"))).collect(), ..document() };
    let (short, long) = (pdf(&document()).unwrap(), pdf(&long).unwrap());
    assert!(long.len() > 2 * short.len(), "{} bytes after {}", long.len(), short.len());
}

#[test]
fn hostile_words_stay_words() {
    let hostile = "<script>alert(1)</script> #import \"x\" $ \\ *b* _i_ @ref `raw` // /* \u{202e}rtl 🧾 日本\r\nBcc: x@example.com";
    let document = InvoiceDocument {
        seller: Party { name: hostile.into(), ..document().seller },
        buyer: Party { name: hostile.into(), ..document().buyer },
        lines: vec![line(hostile)],
        memo: Some(hostile.into()),
        ..document()
    };
    assert!(pdf(&document).unwrap().starts_with(b"%PDF-"));
    let email = email(&document).unwrap();
    for html in [&email.html, &page(&document).unwrap()] {
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&#60;script&#62;"), "{html}");
    }
    assert!(!email.subject.contains(['\r', '\n']), "{}", email.subject);
    assert!(email.text.contains("<script>alert(1)</script>"), "text is not escaped");
}

#[test]
fn a_letter_says_what_is_to_be_paid() {
    let email = email(&document()).unwrap();
    assert_eq!(
        email.subject,
        "Invoice INV-2025-0042 from Northwind Compute GmbH: USD 3.54, due on 3 March 2025"
    );
    for body in [&email.html, &email.text] {
        for words in [
            "USD",
            "3.54",
            "Due on 3 March 2025",
            "API calls",
            "above 1,000",
            "VAT 18 %",
            "See you next month.",
        ] {
            assert!(body.contains(words), "{words} in {body}");
        }
    }
}

#[test]
fn a_draft_says_that_it_is_one() {
    let draft =
        InvoiceDocument { number: None, status: Status::Draft, issued_on: None, due_on: None, ..document() };
    let email = email(&draft).unwrap();
    assert!(email.subject.contains("Draft"), "{}", email.subject);
    assert!(email.text.contains("Draft"), "{}", email.text);
    assert!(pdf(&draft).is_ok());
}

#[test]
fn a_credit_asks_for_nothing() {
    let credit = InvoiceDocument {
        status: Status::Credit,
        due_on: None,
        total: "−3.54".into(),
        amount_due: "0.00".into(),
        ..document()
    };
    let email = email(&credit).unwrap();
    let subject = "Credit: Invoice INV-2025-0042 from Northwind Compute GmbH, USD −3.54";
    assert_eq!(email.subject, subject);
    for body in [&email.html, &email.text] {
        assert!(body.contains("Credit, nothing is to be paid"), "{body}");
        assert!(!body.contains("IBAN") && !body.contains("thank you"), "{body}");
    }
    assert!(pdf(&credit).is_ok());
}

#[test]
fn a_page_brings_its_own_style_and_nothing_else() {
    let page = page(&document()).unwrap();
    assert!(page.contains("noindex"));
    for elsewhere in ["<script", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_brand_has_its_color_and_its_logo() {
    let (accent, logo_link) = (Accent::of_brand("#aa1144").unwrap(), "https://northwind.example/logo.svg");
    let branded = InvoiceDocument { accent, logo_link: Some(logo_link.into()), ..document() };
    let page = page(&branded).unwrap();
    assert!(page.contains(r##"<img class="logo" src="https://northwind.example/logo.svg" alt="Northwind"##));
    assert!(page.contains("--accent: #aa1144"));
    assert!(email(&branded).unwrap().html.contains("#aa1144"));
    assert_ne!(pdf(&branded).unwrap(), pdf(&document()).unwrap());
}

#[test]
fn a_link_that_runs_a_script_is_refused() {
    let document = InvoiceDocument { payment_link: Some("javascript:alert(1)".into()), ..document() };
    assert!(email(&document).is_err());
    assert!(page(&document).is_err());
}
